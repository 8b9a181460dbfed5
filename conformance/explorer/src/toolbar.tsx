// The bar at the top: model, moves, sharing, files.

import { useRef } from "preact/hooks";
import { exportUrl } from "./api";
import type { Theme } from "./theme";
import type { Page, Start } from "./types";

interface ToolbarProps {
  start: Start;
  page: Page;
  look: Theme;
  onLook: () => void;
  onModel: (model: string) => void;
  onBack: () => void;
  onForward: () => void;
  onStart: () => void;
  onWander: (steps: number) => void;
  onShare: () => void;
  onImport: (file: File) => void;
  onHelp: () => void;
}

export function Toolbar(props: ToolbarProps) {
  const { start, page } = props;
  const file = useRef<HTMLInputElement>(null);
  const menu = useRef<HTMLDetailsElement>(null);
  const own = page.model.key !== page.model.preset;
  return (
    <header class="bar">
      <h1 class="brand">
        <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
          <rect width="32" height="32" rx="7" fill="#0f7a52" />
          <path d="M9 7v18M23 7v18M9 13l14 3M23 20l-14 3" stroke="#fff" stroke-width="2.6" fill="none" />
        </svg>
        Lockstep <span>Explorer</span>
      </h1>
      <label class="model">
        <span class="hidden">Model</span>
        <select value={page.model.key} onChange={(event) => props.onModel(event.currentTarget.value)}>
          {own && <option value={page.model.key}>{page.model.preset} (changed)</option>}
          {start.presets.map((it) => (
            <option value={it.key} key={it.key} title={it.purpose}>
              {it.preset}
            </option>
          ))}
        </select>
      </label>
      {start.target && (
        <span
          class={page.diverged_at === undefined ? "chip target" : "chip target bad"}
          title={[`compared: ${start.target.shows.join(", ")}`, ...start.target.dialect].join("\n")}
        >
          {start.target.name} {start.target.version}
          {page.diverged_at === undefined ? " agrees" : " differs"}
        </span>
      )}
      <span class="grow" />
      <span class="buttons">
        <button type="button" onClick={props.onStart} disabled={page.at === 0} title="To the start (Home)">
          ⇤<span class="hidden">To the start</span>
        </button>
        <button type="button" onClick={props.onBack} disabled={page.at === 0} title="One step back (←)">
          ←<span class="hidden">One step back</span>
        </button>
        <button type="button" onClick={props.onForward} disabled={page.future === ""} title="One step on (→)">
          →<span class="hidden">One step on</span>
        </button>
        <button type="button" onClick={() => props.onWander(1)} title="A random step (r)">
          Random step
        </button>
        <button type="button" onClick={() => props.onWander(10)} title="A random walk of ten steps (R)">
          Random walk
        </button>
      </span>
      <span class="buttons">
        <button type="button" class="primary" onClick={props.onShare} title="Copy the link of this state (c)">
          Copy link
        </button>
        <button type="button" onClick={() => file.current?.click()} title="Follow a trace file; or drop it anywhere">
          Open trace
        </button>
        <input
          ref={file}
          type="file"
          accept=".ndjson,.json"
          class="hidden"
          aria-label="Trace file"
          tabIndex={-1}
          onChange={(event) => {
            const chosen = event.currentTarget.files?.[0];
            if (chosen) props.onImport(chosen);
            event.currentTarget.value = "";
          }}
        />
        <details class="menu" ref={menu}>
          <summary>Save as</summary>
          <ul>
            {start.exports.map((it) => (
              <li key={it.name}>
                {page.at === 0 ? (
                  <span class="quiet">{it.text}</span>
                ) : (
                  <a
                    href={exportUrl(page.model.key, page.path, it.name)}
                    download
                    onClick={() => menu.current?.removeAttribute("open")}
                  >
                    {it.text}
                  </a>
                )}
              </li>
            ))}
          </ul>
        </details>
        <button type="button" onClick={props.onLook} title="Theme (t)">
          ◐ {props.look}
        </button>
        <button type="button" onClick={props.onHelp} title="Help (?)">
          ?<span class="hidden">Help</span>
        </button>
      </span>
    </header>
  );
}

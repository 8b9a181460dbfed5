// The Explorer. Its state is its address: every step is an entry of the browser's history.

import { render } from "preact";
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Actions } from "./actions";
import { formatAddress, parseAddress, steps, type Address } from "./address";
import * as api from "./api";
import { Budgets, Network, Properties, Witnesses } from "./panels";
import { Card } from "./cards";
import { Diagram } from "./diagram";
import { Help } from "./help";
import { Seek } from "./seek";
import { Rules, StepPanel } from "./step";
import { actualAfter, viewAfter } from "./story";
import { nextTheme, setTheme, theme, type Theme } from "./theme";
import { Toolbar } from "./toolbar";
import type { Page, Start } from "./types";

type Tab = "next" | "diagram" | "state";

function App({ start }: { start: Start }) {
  const [page, setPage] = useState<Page>();
  const [notice, setNotice] = useState<{ text: string; bad: boolean }>();
  const [look, setLook] = useState<Theme>(theme);
  const [tab, setTab] = useState<Tab>("diagram");
  const [beyond, setBeyond] = useState(false);
  const [help, setHelp] = useState(false);
  const [over, setOver] = useState(false);
  const busy = useRef(0);
  const right = useRef<HTMLElement>(null);

  useEffect(() => setTheme(look), [look]);

  const say = useCallback((text: string, bad = false) => setNotice({ text, bad }), []);

  // What the address says is loaded; only the latest answer counts.
  const load = useCallback(async () => {
    const address = parseAddress(location.hash);
    const turn = ++busy.current;
    try {
      const next = await api.state(address.model, address.path, address.future);
      if (turn !== busy.current) return;
      setPage(next);
      setNotice(
        address.seal !== "" && address.seal !== next.seal
          ? {
              text: "This link was made by another version of the specification: its steps mean something else here.",
              bad: true,
            }
          : undefined,
      );
    } catch (error) {
      if (turn === busy.current) say(message(error), true);
    }
  }, [say]);

  useEffect(() => {
    void load();
    const onMove = () => void load();
    addEventListener("hashchange", onMove);
    return () => removeEventListener("hashchange", onMove);
  }, [load]);

  const go = useCallback((address: Partial<Address> & { path: string }) => {
    const model = address.model ?? parseAddress(location.hash).model;
    location.hash = formatAddress({ future: "", seal: "", ...address, model });
  }, []);

  const model = page?.model.key ?? start.model;

  const goTo = useCallback(
    (at: number) => {
      if (!page) return;
      const all = [...steps(page.path), ...steps(page.future)];
      const to = Math.max(0, Math.min(all.length, at));
      if (to === page.at) return;
      go({ model: page.model.key, path: all.slice(0, to).join(""), future: all.slice(to).join("") });
    },
    [page, go],
  );

  const take = useCallback(
    (link: string) => {
      if (!page) return;
      // Going on as before keeps what follows.
      const [next, ...rest] = steps(page.future);
      go({ model: page.model.key, path: page.path + link, future: next === link ? rest.join("") : "" });
    },
    [page, go],
  );

  const wander = useCallback(
    async (count: number) => {
      if (!page) return;
      try {
        const walked = await api.walk(page.model.key, page.path, count);
        if (walked.steps === 0) say("Nothing can happen here within the bounds.");
        else go({ model: page.model.key, path: walked.path });
      } catch (error) {
        say(message(error), true);
      }
    },
    [page, go, say],
  );

  const share = useCallback(async () => {
    if (!page) return;
    const url = new URL(location.href);
    url.hash = formatAddress({ model: page.model.key, path: page.path, future: page.future, seal: page.seal });
    try {
      await navigator.clipboard.writeText(url.href);
      say(`Copied: ${url.href}`);
    } catch {
      say(url.href);
    }
  }, [page, say]);

  const bring = useCallback(
    async (file: File) => {
      try {
        const brought = await api.importTrace(file);
        go({ model: brought.model, path: brought.path });
        if (brought.disagrees) {
          const { step, reason, differences } = brought.disagrees;
          const detail = differences.map((it) => `${it.what}: here ${it.expected}, in the trace ${it.actual}`);
          setTimeout(
            () => say([`${brought.name}, step ${step}: ${reason}`, ...detail].join("; "), true),
            300,
          );
        } else {
          setTimeout(() => say(`${brought.name}: ${brought.steps} steps. ${brought.purpose}`), 300);
        }
      } catch (error) {
        say(message(error), true);
      }
    },
    [go, say],
  );

  // Before the browser draws: a key that is pressed at once means the page that is shown.
  useLayoutEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
      if (event.key === "Escape") {
        setHelp(false);
        if (typing) (event.target as HTMLElement).blur();
        return;
      }
      if (typing || event.metaKey || event.ctrlKey || event.altKey || !page) return;
      const open = document.querySelectorAll<HTMLButtonElement>(".actions button.take:not(.off)");
      const doing: Record<string, () => void> = {
        ArrowLeft: () => goTo(page.at - 1),
        ArrowRight: () => goTo(page.at + 1),
        Home: () => goTo(0),
        End: () => goTo(Number.MAX_SAFE_INTEGER),
        r: () => void wander(1),
        R: () => void wander(10),
        c: () => void share(),
        t: () => setLook(nextTheme(look)),
        b: () => setBeyond(!beyond),
        "?": () => setHelp(!help),
        "/": () => document.querySelector<HTMLInputElement>("#condition")?.focus(),
        n: () => document.querySelector<HTMLButtonElement>(".actions button.take:not(.off)")?.focus(),
      };
      const digit = "1234567890".indexOf(event.key);
      const act = digit >= 0 ? () => open[digit]?.click() : doing[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [page, goTo, wander, share, look, beyond, help]);

  // Last, so that whoever waits for the title finds the keys at work.
  useLayoutEffect(() => {
    if (page) document.title = `${page.model.key}, step ${page.at} · Lockstep Explorer`;
  }, [page]);

  useEffect(() => {
    const hold = (event: DragEvent) => {
      event.preventDefault();
      setOver(true);
    };
    const leave = (event: DragEvent) => {
      if (event.relatedTarget === null) setOver(false);
    };
    const drop = (event: DragEvent) => {
      event.preventDefault();
      setOver(false);
      const file = event.dataTransfer?.files[0];
      if (file) void bring(file);
    };
    addEventListener("dragover", hold);
    addEventListener("dragleave", leave);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("dragover", hold);
      removeEventListener("dragleave", leave);
      removeEventListener("drop", drop);
    };
  }, [bring]);

  if (!page) {
    return <p class={notice?.bad ? "loading bad" : "loading"}>{notice?.text ?? "Loading …"}</p>;
  }
  const { story, at } = page;
  const last = story.steps[at - 1];
  const later = steps(page.future).length;
  return (
    <>
      <Toolbar
        start={start}
        page={page}
        look={look}
        onLook={() => setLook(nextTheme(look))}
        onModel={(model) => go({ model, path: "" })}
        onBack={() => goTo(at - 1)}
        onForward={() => goTo(at + 1)}
        onStart={() => goTo(0)}
        onWander={(count) => void wander(count)}
        onShare={() => void share()}
        onImport={(file) => void bring(file)}
        onHelp={() => setHelp(true)}
      />
      {notice && (
        <p class={notice.bad ? "notice bad" : "notice"} role="status">
          <span>{notice.text}</span>
          <button type="button" onClick={() => setNotice(undefined)} aria-label="Dismiss">
            ×
          </button>
        </p>
      )}
      <nav class="tabs" aria-label="Panes">
        {(["next", "diagram", "state"] as const).map((it) => (
          <button type="button" key={it} aria-pressed={tab === it} onClick={() => setTab(it)}>
            {it === "next" ? "What next" : it === "diagram" ? "Diagram" : "State"}
          </button>
        ))}
      </nav>
      <main class={`columns show-${tab}`}>
        <section class="pane left" aria-label="What may happen next" tabIndex={0}>
          <Actions page={page} beyond={beyond} onBeyond={setBeyond} onTake={take} />
        </section>
        <section class="pane middle" aria-label="The path so far">
          <div class="crumbs">
            <b title={page.model.key}>
              {page.model.preset}
              {page.model.key !== page.model.preset && " (changed)"}
            </b>
            <span>
              step {at}
              {later > 0 && ` of ${at + later}`}
            </span>
            {!page.within_bounds && <span class="chip bad">beyond the bounds</span>}
            {page.diverged_at !== undefined && (
              <button type="button" class="chip bad" onClick={() => goTo((page.diverged_at ?? 0) + 1)}>
                differs at step {page.diverged_at + 1}
              </button>
            )}
            <input
              type="range"
              min={0}
              max={at + later}
              value={at}
              aria-label="Step"
              disabled={at + later === 0}
              onInput={(event) => goTo(Number(event.currentTarget.value))}
            />
          </div>
          {at + later === 0 && (
            <p class="hint">Take a step: choose what happens next, walk at random (R), search, or drop a trace here.</p>
          )}
          <Diagram svg={page.svg} at={at} servers={story.servers} says={last?.sentence} onSelect={goTo} />
        </section>
        <section class="pane right" aria-label="The state" ref={right} tabIndex={0}>
          <StepPanel step={last} at={at} />
          {story.servers.map((server) => (
            <Card
              key={server}
              server={server}
              view={viewAfter(story, server, at)}
              before={viewAfter(story, server, at - 1)}
              actual={last?.server === server ? actualAfter(story, server, at) : undefined}
              moved={last?.server === server}
            />
          ))}
          <Network page={page} />
          <Seek start={start} model={model} path={page.path} onFound={(path) => go({ model, path })} />
          <Rules step={last} rules={story.rules} />
          <Properties page={page} onGo={goTo} />
          <Witnesses page={page} model={model} onGo={goTo} onFound={(path, model) => go({ model, path })} />
          <Budgets page={page} />
          <p class="quiet">
            <a href="/stateright/">stateright's own Explorer</a> of the model that this program was started with
          </p>
        </section>
      </main>
      {over && <div class="dropzone">Drop a trace to follow it</div>}
      {help && <Help start={start} onClose={() => setHelp(false)} />}
    </>
  );
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function main() {
  const app = document.getElementById("app");
  if (!app) return;
  try {
    const start = await api.start();
    app.replaceChildren();
    render(<App start={start} />, app);
  } catch (error) {
    app.textContent = `The program does not answer: ${message(error)}`;
  }
}

void main();

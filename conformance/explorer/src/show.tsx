// The page of one trace: a slider over its steps, the servers as cards, the diagram. It needs no server.

import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Card } from "./cards";
import { Diagram } from "./diagram";
import { actualAfter, inFlight, viewAfter } from "./story";
import { Rules, StepPanel } from "./step";
import { nextTheme, setTheme, theme, type Theme } from "./theme";
import type { Story } from "./types";

interface Shown {
  story: Story;
  notes: string[];
  version: string;
}

function Page({ shown, svg }: { shown: Shown; svg: string }) {
  const { story, notes } = shown;
  const last = story.steps.length;
  const [at, setAt] = useState(() => {
    const asked = Number(location.hash.slice(1));
    return Number.isInteger(asked) && asked >= 0 && asked <= last && location.hash !== "" ? asked : last;
  });
  const [look, setLook] = useState<Theme>(theme);
  useEffect(() => setTheme(look), [look]);
  const move = (to: number) => {
    const next = Math.max(0, Math.min(last, to));
    setAt(next);
    history.replaceState(null, "", `#${next}`);
  };
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.target instanceof HTMLInputElement || event.metaKey || event.ctrlKey) return;
      const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      move(to);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  });
  const step = story.steps[at - 1];
  return (
    <>
      <header class="bar">
        <span class="brand">Lockstep</span>
        <h1>{story.name}</h1>
        <span class="grow" />
        <button type="button" onClick={() => setLook(nextTheme(look))} title="Theme">
          ◐ {look}
        </button>
      </header>
      <main class="show-main">
        <section class="intro">
          <p class="purpose">{story.purpose}</p>
          {notes.map((note) => (
            <p class="note" key={note}>
              {note}
            </p>
          ))}
          <div class="slider">
            <button type="button" onClick={() => move(at - 1)} disabled={at === 0} aria-label="One step back">
              ←
            </button>
            <input
              type="range"
              min={0}
              max={last}
              value={at}
              aria-label="Step"
              onInput={(event) => move(Number(event.currentTarget.value))}
            />
            <button type="button" onClick={() => move(at + 1)} disabled={at === last} aria-label="One step on">
              →
            </button>
            <output>
              {at} of {last}
            </output>
          </div>
        </section>
        <section class="pane middle" aria-label="Diagram">
          <Diagram svg={svg} at={at} servers={story.servers} says={step?.sentence} onSelect={move} />
        </section>
        <section class="pane right" aria-label="State" tabIndex={0}>
          <StepPanel step={step} at={at} />
          {story.servers.map((server) => (
            <Card
              key={server}
              server={server}
              view={viewAfter(story, server, at)}
              before={viewAfter(story, server, at - 1)}
              actual={step?.server === server ? actualAfter(story, server, at) : undefined}
              moved={step?.server === server}
            />
          ))}
          <h2>In flight</h2>
          <ul class="network">
            {inFlight(story, at).map((it, place) => (
              <li key={place}>{it.sentence}</li>
            ))}
            {inFlight(story, at).length === 0 && <li class="empty">nothing</li>}
          </ul>
          <Rules step={step} rules={story.rules} />
        </section>
      </main>
      <footer class="foot">made by lockstep {shown.version}</footer>
    </>
  );
}

const data = document.getElementById("data");
const app = document.getElementById("app");
const picture = document.getElementById("picture");
if (data && app && picture) {
  const shown = JSON.parse(data.textContent ?? "") as Shown;
  const svg = picture.innerHTML;
  app.replaceChildren();
  render(<Page shown={shown} svg={svg} />, app);
}

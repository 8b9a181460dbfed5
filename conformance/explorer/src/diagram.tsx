// The sequence diagram. The program draws it; the page marks the step that is looked at and what comes after it.

import { useEffect, useRef } from "preact/hooks";

interface DiagramProps {
  svg: string;
  /** How many steps have happened. */
  at: number;
  servers: number[];
  /** Called with the number of steps after which to look. */
  onSelect: (steps: number) => void;
}

/** Marks what has not happened yet, and the last step that has. */
export function markSteps(root: ParentNode, at: number): void {
  for (const element of root.querySelectorAll<SVGElement>("[data-step]")) {
    const step = Number(element.dataset["step"]);
    element.classList.toggle("lk-future", step >= at);
    element.classList.toggle("lk-now", step === at - 1);
  }
  for (const element of root.querySelectorAll<SVGElement>(".lk-flight, .lk-label[data-born], .lk-label[data-end]")) {
    const { born, end } = element.dataset;
    const unborn = born !== undefined && Number(born) >= at;
    const arriving = !unborn && end !== undefined && Number(end) >= at;
    element.classList.toggle("lk-future", unborn);
    element.classList.toggle("lk-arriving", arriving);
    element.classList.toggle("lk-now", end !== undefined && Number(end) === at - 1);
  }
}

export function Diagram({ svg, at, servers, onSelect }: DiagramProps) {
  const box = useRef<HTMLDivElement>(null);
  const heads = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (box.current) box.current.innerHTML = svg;
  }, [svg]);
  useEffect(() => {
    const root = box.current;
    if (!root) return;
    markSteps(root, at);
    const picture = root.querySelector<SVGSVGElement>("svg");
    if (!picture) return;
    const top = Number(picture.dataset["top"]);
    const row = Number(picture.dataset["row"]);
    const y = top + row * at;
    const scroller = root.parentElement;
    if (!scroller) return;
    const [above, below] = [scroller.scrollTop + 80, scroller.scrollTop + scroller.clientHeight - 90];
    if (y < above || y > below) scroller.scrollTop = Math.max(0, y - scroller.clientHeight * 0.6);
    // The server that moved is in sight, with what it is labelled.
    const mark = root.querySelector(`.lk-step[data-step="${at - 1}"] circle`);
    const x = Number(mark?.getAttribute("cx") ?? scroller.scrollLeft + scroller.clientWidth / 2);
    const [left, right] = [scroller.scrollLeft + 140, scroller.scrollLeft + scroller.clientWidth - 150];
    if (x < left || x > right) scroller.scrollLeft = Math.max(0, x - scroller.clientWidth / 2);
  }, [svg, at]);
  const lanes = /data-lanes="([^"]*)"/.exec(svg)?.[1]?.split(" ").map(Number) ?? [];
  const select = (event: MouseEvent) => {
    const target = event.target as Element | null;
    const row = target?.closest<SVGElement>("[data-step]");
    const end = target?.closest<SVGElement>("[data-end]");
    const step = row?.dataset["step"] ?? end?.dataset["end"];
    if (step !== undefined) onSelect(Number(step) + 1);
  };
  return (
    <div class="diagram" tabIndex={0} role="region" aria-label="Sequence diagram of the path">
      <div class="lanes" ref={heads} aria-hidden="true">
        {servers.map((server, place) => (
          <span key={server} style={{ left: `${lanes[place] ?? 0}px` }}>
            server {server}
          </span>
        ))}
      </div>
      <div class="picture" ref={box} onClick={select} />
    </div>
  );
}

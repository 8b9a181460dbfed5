// The sequence diagram. The program draws it; the page marks the step that is looked at and what comes after it.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { fitter } from "./fit";
import type { Layout } from "./lanes";

interface DiagramProps {
  svg: string;
  /** How many steps have happened. */
  at: number;
  servers: number[];
  /** The last step in words, for where the diagram has no room for words. */
  says: string | undefined;
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

export function Diagram({ svg, at, servers, says, onSelect }: DiagramProps) {
  const box = useRef<HTMLDivElement>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const [layout, setLayout] = useState<Layout>();
  useLayoutEffect(() => {
    if (box.current) box.current.innerHTML = svg;
    const picture = box.current?.querySelector<SVGSVGElement>("svg");
    const pane = scroller.current;
    if (!picture || !pane) return;
    const fit = fitter(picture);
    let before = 0;
    const again = () => {
      // A pane that is not shown has no width.
      if (pane.clientWidth === 0 || pane.clientWidth === before) return;
      before = pane.clientWidth;
      setLayout(fit(before));
    };
    again();
    const watch = new ResizeObserver(again);
    watch.observe(pane);
    return () => watch.disconnect();
  }, [svg]);
  useEffect(() => {
    const root = box.current;
    const pane = scroller.current;
    if (!root || !pane) return;
    markSteps(root, at);
    const picture = root.querySelector<SVGSVGElement>("svg");
    if (!picture) return;
    const top = Number(picture.dataset["top"]);
    const row = Number(picture.dataset["row"]);
    const y = top + row * at;
    const [above, below] = [pane.scrollTop + 80, pane.scrollTop + pane.clientHeight - 90];
    if (y < above || y > below) pane.scrollTop = Math.max(0, y - pane.clientHeight * 0.6);
    // With very many servers: the one that moved is in sight, with what it is labelled.
    const mark = root.querySelector(`.lk-step[data-step="${at - 1}"]`)?.getBoundingClientRect();
    const [left, right] = [pane.getBoundingClientRect().left, pane.getBoundingClientRect().right];
    if (mark && (mark.left < left || mark.right > right)) {
      pane.scrollLeft += (mark.left + mark.right - left - right) / 2;
    }
  }, [svg, at, layout]);
  const first = Number(/data-lanes="([\d.]+)/.exec(svg)?.[1] ?? 0);
  const select = (event: MouseEvent) => {
    const target = event.target as Element | null;
    const row = target?.closest<SVGElement>("[data-step]");
    const end = target?.closest<SVGElement>("[data-end]");
    const step = row?.dataset["step"] ?? end?.dataset["end"];
    if (step !== undefined) onSelect(Number(step) + 1);
  };
  return (
    <>
      {says !== undefined && layout?.words.width === 0 && (
        <p class="says">
          <b>{at}</b> {says}
        </p>
      )}
      <div class="diagram" tabIndex={0} role="region" aria-label="Sequence diagram of the path" ref={scroller}>
        <div class="lanes" aria-hidden="true">
          {layout &&
            servers.map((server, place) => (
              <span key={server} style={{ left: `${first + layout.shift + layout.lane * place}px` }}>
                {layout.short ? `s${server}` : `server ${server}`}
              </span>
            ))}
        </div>
        <div class="picture" ref={box} onClick={select} />
      </div>
    </>
  );
}

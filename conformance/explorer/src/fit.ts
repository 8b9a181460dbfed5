// Moves the lifelines of a diagram that the program drew, so that all of them fit into a pane. It reads the
// places in lanes that the picture names (`data-lane`), and nothing else of how it was drawn.

import { cut, fitLine, layOut, type Drawn, type Layout } from "./lanes";

/** The room around the text of a label. */
const PADDING = 12;

/** Measures text in the fonts of the picture. */
function measures(svg: SVGSVGElement): (text: string, size: number, bold?: boolean) => number {
  const family = getComputedStyle(svg).fontFamily;
  const canvas = document.createElement("canvas").getContext("2d");
  return (text, size, bold = false) => {
    if (!canvas) return text.length * size * 0.6;
    canvas.font = `${bold ? "600 " : ""}${size}px ${family}`;
    return canvas.measureText(text).width;
  };
}

/** The picture in the attributes of its root. */
export function drawn(svg: SVGSVGElement): Drawn {
  return {
    lanes: (svg.dataset["lanes"] ?? "").split(" ").filter(Boolean).map(Number),
    words: Number(svg.dataset["words"]),
  };
}

/** Makes the function that lays the picture out anew. */
export function fitter(svg: SVGSVGElement): (pane: number) => Layout {
  const picture = drawn(svg);
  const origin = picture.lanes[0] ?? 0;
  const gap = picture.lanes.length > 1 ? (picture.lanes[1] ?? 0) - origin : 0;
  const height = svg.viewBox.baseVal.height;
  const measure = measures(svg);
  const moves: ((to: Layout) => void)[] = [];
  const offset = (to: Layout, lane: number) => to.shift + lane * (to.lane - gap);

  for (const it of svg.querySelectorAll<SVGElement>("[data-lane]")) {
    const lane = Number(it.dataset["lane"]);
    moves.push((to) => it.setAttribute("transform", `translate(${offset(to, lane)} 0)`));
  }
  for (const line of svg.querySelectorAll<SVGElement>("[data-lane1]")) {
    for (const end of [1, 2]) {
      const lane = Number(line.dataset[`lane${end}`]);
      const x = Number(line.getAttribute(`x${end}`));
      moves.push((to) => line.setAttribute(`x${end}`, String(x + offset(to, lane))));
    }
  }
  for (const label of svg.querySelectorAll<SVGElement>(".lk-label, .lk-mark")) {
    const [box, text] = [label.querySelector("rect"), label.querySelector("text")];
    const holder = label.closest<SVGElement>("[data-lane]");
    if (!box || !text || !holder) continue;
    const whole = text.textContent ?? "";
    const anchor = origin + gap * Number(holder.dataset["lane"]);
    const [left, width] = [Number(box.getAttribute("x")), Number(box.getAttribute("width"))];
    const bold = label.classList.contains("lk-mark");
    moves.push((to) => {
      const words = to.short ? cut(whole) : whole;
      const wide = measure(words, bold ? 10.5 : 11, bold) + PADDING;
      // A label keeps the side that is next to its lifeline.
      const x = left >= anchor ? left : left + width <= anchor ? left + width - wide : left + (width - wide) / 2;
      box.setAttribute("x", String(x));
      box.setAttribute("width", String(wide));
      text.setAttribute("x", String(x + wide / 2));
      text.textContent = words;
    });
  }
  for (const row of svg.querySelectorAll<SVGElement>(".lk-row")) {
    const [sentence, changes] = [row.querySelector(".lk-sentence"), row.querySelector(".lk-changes")];
    const title = sentence?.querySelector("title");
    if (!sentence || !changes || !title) continue;
    const [says, ...rest] = (title.textContent ?? "").split("\n");
    const differs = row.classList.contains("lk-differs");
    const second = differs || rest.join() !== "nothing" ? (differs ? changes.textContent ?? "" : rest.join("; ")) : "";
    moves.push((to) => {
      for (const it of [sentence, changes]) it.setAttribute("x", String(to.words.x));
      const room = to.words.width - 10;
      const fit = (text: string, size: number, bold = false) => {
        const character = measure(text, size, bold) / Math.max(1, text.length);
        // What is left may have wider characters than the whole.
        let [line, width] = [fitLine(text, room, character), room];
        while (measure(line, size, bold) > room && width > 0) line = fitLine(text, (width -= character), character);
        return line;
      };
      sentence.replaceChildren(title, to.words.width > 0 ? fit(says ?? "", 12) : "");
      changes.textContent = to.words.width > 0 ? fit(second, 11, differs) : "";
    });
  }
  return (pane) => {
    const to = layOut(picture, pane);
    for (const move of moves) move(to);
    svg.setAttribute("viewBox", `0 0 ${to.width} ${height}`);
    svg.setAttribute("width", String(to.width));
    svg.classList.toggle("lk-short", to.short);
    return to;
  };
}

// How far apart the lifelines of a diagram stand so that all of them are in sight. Pure functions; `fit.ts`
// moves the picture.

/** The picture as the program drew it: where its lifelines stand, and where its words begin. */
export interface Drawn {
  lanes: number[];
  words: number;
}

/** Where everything stands in a pane. */
export interface Layout {
  /** From one lifeline to the next. */
  lane: number;
  /** What everything moves by. */
  shift: number;
  /** Where the words begin, and how wide they are; no width is no words. */
  words: { x: number; width: number };
  /** Whether labels are cut down to initials. */
  short: boolean;
  /** The width of the whole. */
  width: number;
}

/** The widths of the words beside a diagram, at most and at least. */
const WORDS = { most: 560, wished: 320, least: 200 };
/** The distance of lifelines that whole labels need, and the one that short labels need. */
const LANE = { whole: 126, short: 46 };
/** What stays free at both sides of the lifelines where labels are short. */
const SHORT = { left: 68, right: 74 };

/** Lays a diagram out in a pane of this width. */
export function layOut(drawn: Drawn, pane: number): Layout {
  const { lanes } = drawn;
  const gaps = Math.max(1, lanes.length - 1);
  const left = lanes[0] ?? 0;
  const last = lanes[lanes.length - 1] ?? left;
  const widest = lanes.length > 1 ? (last - left) / gaps : 0;
  const right = drawn.words - last;
  const wholly = (words: number) => (pane - left - right - words) / gaps;
  if (lanes.length < 2 || wholly(WORDS.least) >= LANE.whole) {
    const lane = Math.min(widest, Math.max(LANE.whole, wholly(WORDS.wished)));
    const x = left + lane * (lanes.length - 1) + right;
    return { lane, shift: 0, words: { x, width: Math.min(WORDS.most, pane - x) }, short: false, width: pane };
  }
  if (wholly(0) >= LANE.whole) {
    return { lane: Math.min(widest, wholly(0)), shift: 0, words: { x: pane, width: 0 }, short: false, width: pane };
  }
  const lane = Math.max(LANE.short, Math.min(widest, (pane - SHORT.left - SHORT.right) / gaps));
  const width = Math.max(pane, SHORT.left + lane * gaps + SHORT.right);
  return { lane, shift: SHORT.left - left, words: { x: width, width: 0 }, short: true, width };
}

const CUT: [RegExp, string][] = [
  [/pre-candidate/, "pre"],
  [/candidate/, "cand"],
  [/follower/, "foll"],
  [/term /, "t"],
  [/commit /, "c"],
  [/^election timeout$/, "timeout"],
  [/^lease runs out$/, "lease"],
  [/^heartbeat timer$/, "heartbeat"],
  [/^quorum check$/, "quorum?"],
  [/^client proposes /, "propose "],
  [/^client reads /, "read "],
  [/^crash, restart$/, "crash"],
  [/^crash keeping (.*), restart$/, "crash, $1"],
  [/^forget leader$/, "forget"],
  [/^write durable$/, "durable"],
  [/^snapshot for (\S+) .*$/, "snap $1"],
];

/** A label in a few characters: initials of messages, and short words for roles and inputs. */
export function cut(label: string): string {
  const words = CUT.reduce((text, [from, to]) => text.replace(from, to), label);
  return words.replace(/\b[A-Z][a-z]+(?:[A-Z][a-z]+)+/g, (name) => name.replace(/[a-z]/g, ""));
}

/** Cuts a line to a width, where a character is this wide. */
export function fitLine(text: string, width: number, character: number): string {
  const most = Math.floor(width / character);
  return text.length <= most ? text : `${text.slice(0, Math.max(0, most - 1)).trimEnd()}…`;
}

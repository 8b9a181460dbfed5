// Keys, and what a condition may say.

import { useEffect, useRef } from "preact/hooks";
import type { Start } from "./types";

const KEYS: [string, string][] = [
  ["1 … 9, 0", "take the action of that number"],
  ["n", "to the first action; Tab goes on"],
  ["← →", "one step back, one step on"],
  ["Home, End", "to the start, to the end"],
  ["r, R", "a random step, ten random steps"],
  ["/", "search for a state"],
  ["c", "copy the link of this state"],
  ["b", "allow what the bounds leave out"],
  ["t", "light, dark, or as the system says"],
  ["?", "this help"],
];

export function Help({ start, onClose }: { start: Start; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog ref={dialog} class="help" onClose={onClose} aria-labelledby="help-title">
      <h2 id="help-title">Help</h2>
      <p>
        Click what may happen next, or a step of the diagram to look at it. Every state has its own address: send it,
        or use the browser's back and forward. Drop a trace file anywhere to follow it.
      </p>
      <table>
        <caption class="label">keys</caption>
        <tbody>
          {KEYS.map(([key, what]) => (
            <tr key={key}>
              <th scope="row">
                <kbd>{key}</kbd>
              </th>
              <td>{what}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p>
        A condition for a search: {start.examples.map((it) => <code key={it}>{it}</code>)}. Fields are those of a
        trace's view; join with <code>and</code>, <code>or</code>, <code>not</code> and parentheses.
      </p>
      <form method="dialog">
        <button type="submit">Close</button>
      </form>
    </dialog>
  );
}

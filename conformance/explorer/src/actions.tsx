// What may happen next: timers and calls by server, then what may happen to each message.

import type { Action, Message, Page } from "./types";

interface ActionsProps {
  page: Page;
  /** Whether actions beyond the bounds may be taken. */
  beyond: boolean;
  onBeyond: (on: boolean) => void;
  onTake: (link: string) => void;
}

/** The part of a sentence that stands under the head of its group already. */
function shortened(action: Action, server: number): string {
  return action.sentence
    .replace(`server ${server}'s `, "")
    .replace(` at server ${server}`, "")
    .replace(`server ${server} `, "");
}

/** The keys of the actions that can be taken, in the order in which they stand on the page. */
function keys(page: Page, beyond: boolean): Map<string, string> {
  const all = [...page.messages.flatMap((it) => it.actions), ...page.servers.flatMap((it) => it.actions)];
  const open = all.filter((it) => beyond || !it.disabled).slice(0, 10);
  return new Map(open.map((it, place) => [it.link, String((place + 1) % 10)]));
}

/** Actions that cannot be taken, by the reason. */
function byReason(actions: Action[], name: (action: Action) => string): [string, string[]][] {
  const reasons = new Map<string, string[]>();
  for (const action of actions) {
    if (action.disabled) reasons.set(action.disabled, [...(reasons.get(action.disabled) ?? []), name(action)]);
  }
  return [...reasons];
}

/** How many actions of one reason are named at once; more are named when somebody asks. */
const NAMED = 3;

function Reasons({ reasons }: { reasons: [string, string[]][] }) {
  if (reasons.length === 0) return null;
  // The many that mean nothing come last, whatever their place among the actions.
  const inOrder = [...reasons].sort(([, a], [, b]) => Number(a.length > NAMED) - Number(b.length > NAMED));
  return (
    <ul class="reasons">
      {inOrder.map(([reason, all]) => {
        const names = [...new Set(all)];
        return (
          <li key={reason}>
            {names.length <= NAMED ? (
              <>
                {names.join(", ")}: <i>{reason}</i>
              </>
            ) : (
              <details>
                <summary>
                  {names.length} others: <i>{reason}</i>
                </summary>
                <ul>
                  {names.map((name) => (
                    <li key={name}>{name}</li>
                  ))}
                </ul>
              </details>
            )}
          </li>
        );
      })}
    </ul>
  );
}

export function Actions({ page, beyond, onBeyond, onTake }: ActionsProps) {
  const key = keys(page, beyond);
  const messages = page.messages.flatMap((it) => it.actions);
  const open = [...page.servers.flatMap((it) => it.actions), ...messages].filter((it) => !it.disabled).length;
  // Why no message can be lost or duplicated is said once.
  const network = messages.filter((it) => it.kind !== "deliver");
  return (
    <div class="actions">
      <h2>
        What next <span class="quiet">{open === 0 ? "nothing within the bounds" : `${open} possible`}</span>
      </h2>
      {page.messages.length > 0 && <h3>Messages</h3>}
      {page.messages.map((message) => (
        <MessageRow key={message.sentence} message={message} beyond={beyond} keys={key} onTake={onTake} />
      ))}
      {!beyond && <Reasons reasons={byReason(network, (it) => VERBS[it.kind] ?? it.kind)} />}
      {page.servers.map(({ server, actions }) => (
        <div class="group" key={server}>
          <h3>
            Server {server} <RoleOf page={page} server={server} />
          </h3>
          <ul>
            {actions
              .filter((action) => beyond || !action.disabled)
              .map((action) => (
                <li key={action.link}>
                  <button
                    type="button"
                    class={action.disabled ? "take out" : "take"}
                    title={action.disabled ?? action.effect}
                    onClick={() => onTake(action.link)}
                  >
                    <Key of={key.get(action.link)} />
                    <span class="what">{shortened(action, server)}</span>
                    {(action.disabled || action.effect) && (
                      <span class="why">{action.disabled ?? action.effect}</span>
                    )}
                  </button>
                </li>
              ))}
          </ul>
          {!beyond && <Reasons reasons={byReason(actions, (it) => shortened(it, server))} />}
        </div>
      ))}
      <label class="beyond">
        <input type="checkbox" checked={beyond} onChange={(event) => onBeyond(event.currentTarget.checked)} />
        also take what the bounds leave out
      </label>
    </div>
  );
}

function Key({ of }: { of: string | undefined }) {
  // Drawn by the style: it is no part of the button's name.
  return of === undefined ? null : <span class="key" data-key={of} />;
}

function RoleOf({ page, server }: { page: Page; server: number }) {
  for (let at = page.at - 1; at >= 0; at--) {
    const step = page.story.steps[at];
    if (step?.server === server && step.view) {
      return <span class={`dot role-${step.view.role}`} title={step.view.role.replaceAll("_", "-")} />;
    }
  }
  return <span class="dot role-follower" title="follower" />;
}

const VERBS: Record<string, string> = { deliver: "deliver", duplicate: "duplicate", drop: "lose" };

interface MessageRowProps {
  message: Message;
  beyond: boolean;
  keys: Map<string, string>;
  onTake: (link: string) => void;
}

function MessageRow({ message, beyond, keys, onTake }: MessageRowProps) {
  const [head, ...says] = message.sentence.split(", ");
  const undeliverable = message.actions.find((it) => it.kind === "deliver" && it.disabled);
  return (
    <div class="message">
      <p>
        <b>{head}</b>
        {message.copies > 1 && <span class="chip">×{message.copies}</span>}
      </p>
      <span class="says-it">{says.join(", ")}</span>
      <div class="verbs">
        {message.actions.map((action) => {
          const off = action.disabled !== undefined && !beyond;
          // Why no message can be lost or duplicated stands below all of them.
          if (off && action.kind !== "deliver") return null;
          return (
            <button
              type="button"
              key={action.link}
              class={`take verb ${action.kind}${off ? " off" : ""}${action.disabled ? " out" : ""}`}
              aria-disabled={off}
              aria-label={action.sentence}
              title={action.disabled ?? action.sentence}
              onClick={() => !off && onTake(action.link)}
            >
              <Key of={keys.get(action.link)} />
              {VERBS[action.kind] ?? action.kind}
            </button>
          );
        })}
      </div>
      {undeliverable && !beyond && <p class="why">{undeliverable.disabled}</p>}
    </div>
  );
}

// A server as a card. The fields that have a picture of their own come first; every other field of the view is
// shown by its name, whatever it is.

import type { Actual, Entry, Json, View } from "./types";
import { changedFields, fieldLabel, plain, roleLabel, same } from "./story";

/** Fields that the head, the log or a picture of the card shows. */
const PICTURED = new Set(["role", "term", "log", "commit", "applied", "durable", "votes", "peers"]);

interface CardProps {
  server: number;
  view: View;
  /** The state before the last step, to mark what it changed. */
  before: View;
  /** What the implementation shows. */
  actual?: Actual | undefined;
  moved: boolean;
}

export function Card({ server, view, before, actual, moved }: CardProps) {
  const changed = changedFields(before, view);
  const wrong = new Set(actual?.wrong);
  const mark = (field: string) =>
    `${changed.has(field) ? " changed" : ""}${wrong.has(field) ? " wrong" : ""}`;
  const rest = Object.keys(view).filter((field) => !PICTURED.has(field));
  const votes = view["votes"] as Record<string, boolean> | undefined;
  const peers = view["peers"] as Record<string, Record<string, Json>> | undefined;
  return (
    <article class={`card role-${view.role}${moved ? " moved" : ""}`} aria-label={`server ${server}`}>
      <header>
        <h3>Server {server}</h3>
        <span class={`chip role${mark("role")}`}>{roleLabel(view.role)}</span>
        <span class={`term${mark("term")}`}>
          term <b>{view.term}</b>
        </span>
      </header>
      <dl class="facts">
        {rest.map((field) => (
          <div class={`fact${mark(field)}`} key={field}>
            <dt>{fieldLabel(field)}</dt>
            <dd>{plain(view[field] as Json)}</dd>
          </div>
        ))}
        <div class={`fact${mark("commit")}`}>
          <dt>commit</dt>
          <dd>{view.commit}</dd>
        </div>
        {"applied" in view && view["applied"] !== view.commit && (
          <div class={`fact${mark("applied")}`}>
            <dt>applied</dt>
            <dd>{plain(view["applied"] as Json)}</dd>
          </div>
        )}
      </dl>
      {votes && Object.keys(votes).length > 0 && (
        <p class={`votes${mark("votes")}`}>
          <span class="label">votes</span>
          {Object.entries(votes).map(([id, granted]) => (
            <span class={granted ? "vote yes" : "vote no"} key={id}>
              {granted ? "✓" : "✗"} {id}
            </span>
          ))}
        </p>
      )}
      <Log view={view} before={before} mark={mark("log")} />
      {peers && Object.keys(peers).length > 0 && (
        <Peers peers={peers} before={before["peers"] as typeof peers} mark={mark("peers")} />
      )}
      {actual && wrong.size > 0 && <Differences view={view} actual={actual.view} wrong={wrong} />}
    </article>
  );
}

function value(entry: Entry): string {
  return entry.payload === "empty" ? "∅" : String(entry.payload.value);
}

/** The log with its committed and its durable part. */
function Log({ view, before, mark }: { view: View; before: View; mark: string }) {
  const image = view["durable"] as { log?: Entry[]; [field: string]: Json | Entry[] | undefined } | undefined;
  const durable = image?.log;
  const first = 1;
  const images = image
    ? Object.keys(image).filter((key) => key !== "log" && key in view && !same(image[key], view[key]))
    : [];
  return (
    <div class={`log${mark}`}>
      <span class="label">log</span>
      {view.log.length === 0 && <span class="empty">empty</span>}
      <ol>
        {view.log.map((entry, place) => {
          const index = first + place;
          const committed = index <= view.commit;
          const kept = durable === undefined || same(durable[place], entry);
          const fresh = !same(before.log[place], entry);
          const state = committed ? "committed" : "not committed";
          const words = `entry ${index}: ${value(entry)} of term ${entry.term}, ${state}${kept ? "" : ", not durable"}`;
          return (
            <li
              key={index}
              class={`entry${committed ? " committed" : ""}${kept ? "" : " volatile"}${fresh ? " fresh" : ""}`}
              title={words}
            >
              <span class="index">{index}</span>
              <b>{value(entry)}</b>
              <span class="of">t{entry.term}</span>
            </li>
          );
        })}
      </ol>
      {images.length > 0 && (
        <p class="image">
          durable: {images.map((key) => `${fieldLabel(key)} ${plain(image?.[key] as Json)}`).join(", ")}
        </p>
      )}
    </div>
  );
}

type PeerMap = Record<string, Record<string, Json>>;

function Peers({ peers, before, mark }: { peers: PeerMap; before: PeerMap | undefined; mark: string }) {
  const ids = Object.keys(peers);
  const columns = [...new Set(ids.flatMap((id) => Object.keys(peers[id] ?? {})))];
  return (
    <div class={`peers${mark}`} role="group" aria-label="progress of peers" tabIndex={0}>
      <table>
        <caption class="label">progress of peers</caption>
        <thead>
          <tr>
            <th scope="col">peer</th>
            {columns.map((column) => (
              <th scope="col" key={column}>
                {fieldLabel(column)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {ids.map((id) => (
            <tr key={id}>
              <th scope="row">{id}</th>
              {columns.map((column) => {
                const now = peers[id]?.[column];
                const changed = !same(before?.[id]?.[column], now);
                return (
                  <td key={column} class={changed ? "changed" : ""}>
                    {now === true ? "✓" : now === false ? "·" : plain(now)}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Differences({ view, actual, wrong }: { view: View; actual: View; wrong: Set<string> }) {
  return (
    <table class="wrongs">
      <caption class="label">the implementation differs</caption>
      <thead>
        <tr>
          <th scope="col">field</th>
          <th scope="col">expected</th>
          <th scope="col">actual</th>
        </tr>
      </thead>
      <tbody>
        {[...wrong].map((field) => (
          <tr key={field}>
            <th scope="row">{fieldLabel(field)}</th>
            <td>{plain(view[field] as Json)}</td>
            <td class="wrong">{plain(actual[field] as Json)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

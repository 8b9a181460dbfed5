// The network, properties, witnesses and budgets of a state.

import { useState } from "preact/hooks";
import { Progress, useSearch } from "./seek";
import { fieldLabel } from "./story";
import type { Page, Property } from "./types";

export function Network({ page }: { page: Page }) {
  return (
    <section aria-label="Network">
      <h2>
        Network <span class="quiet">{page.messages.reduce((sum, it) => sum + it.copies, 0)} in flight</span>
      </h2>
      <ul class="network">
        {page.messages.map((it) => (
          <li key={it.sentence}>
            {it.sentence}
            {it.copies > 1 && <span class="chip">×{it.copies}</span>}
          </li>
        ))}
        {page.messages.length === 0 && <li class="empty">nothing</li>}
      </ul>
    </section>
  );
}

function standing(it: Property): [string, string] {
  if (!it.holds) return ["violated", "violated here"];
  if (it.violated_at !== undefined) return ["violated", `violated at step ${it.violated_at + 1}`];
  return it.antecedent ? ["holds", "put to the test, holds"] : ["idle", "says nothing here"];
}

export function Properties({ page, onGo }: { page: Page; onGo: (at: number) => void }) {
  const tested = page.properties.filter((it) => it.antecedent).length;
  const violated = page.properties.filter((it) => it.violated_at !== undefined).length;
  return (
    <details class="properties" open={violated > 0}>
      <summary>
        Properties{" "}
        <span class="quiet">
          {violated > 0 ? `${violated} violated, ` : ""}
          {tested} of {page.properties.length} put to the test here
        </span>
      </summary>
      <ul>
        {page.properties.map((it) => {
          const [state, words] = standing(it);
          return (
            <li key={it.name} class={state}>
              <span class="sign" aria-hidden="true">
                {state === "violated" ? "✗" : state === "holds" ? "✓" : "·"}
              </span>
              <span>
                <b>{it.name}</b> <span class="quiet">{words}</span>
                {it.violated_at !== undefined && (
                  <button type="button" class="small" onClick={() => onGo((it.violated_at ?? 0) + 1)}>
                    go to step {it.violated_at + 1}
                  </button>
                )}
                <span class="source">{it.source}</span>
              </span>
            </li>
          );
        })}
      </ul>
    </details>
  );
}

interface WitnessesProps {
  page: Page;
  model: string;
  onGo: (at: number) => void;
  onFound: (path: string, model: string) => void;
}

export function Witnesses({ page, model, onGo, onFound }: WitnessesProps) {
  const [asked, setAsked] = useState<{ name: string; model: string }>();
  const search = useSearch((path) => onFound(path, asked?.model ?? model));
  const seek = (name: string, model: string) => {
    setAsked({ name, model });
    void search.begin(model, "", "start", name);
  };
  const reached = page.witnesses.filter((it) => it.reached_at !== undefined).length;
  return (
    <details class="witnesses">
      <summary>
        Witnesses{" "}
        <span class="quiet">
          {reached} of {page.witnesses.length} reached on this path
        </span>
      </summary>
      <ul>
        {page.witnesses.map((it) => (
          <li key={it.name} class={it.reached_at === undefined ? "idle" : "holds"}>
            <span class="sign" aria-hidden="true">
              {it.reached_at === undefined ? "·" : "✓"}
            </span>
            <span>
              <b>{it.story}</b>
              <span class="source">{it.name}</span>
              {it.reached_at !== undefined && (
                <button type="button" class="small" onClick={() => onGo((it.reached_at ?? 0) + 1)}>
                  reached at step {it.reached_at + 1}
                </button>
              )}
              <button type="button" class="small" onClick={() => seek(it.name, model)}>
                shortest way
              </button>
              {it.preset !== model && (
                <button type="button" class="small" onClick={() => seek(it.name, it.preset)}>
                  in {it.preset}
                </button>
              )}
              {asked?.name === it.name && <Progress search={search} />}
            </span>
          </li>
        ))}
      </ul>
    </details>
  );
}

export function Budgets({ page }: { page: Page }) {
  return (
    <details class="budgets">
      <summary>
        Bounds <span class="quiet">{page.model.preset}: {page.model.purpose}</span>
      </summary>
      <table>
        <caption class="label">spent of each budget</caption>
        <tbody>
          {page.budgets.map((it) => (
            <tr key={it.name} class={it.spent >= it.limit ? "full" : ""}>
              <th scope="row">{fieldLabel(it.name)}</th>
              <td>
                {it.spent} of {it.limit}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="settings">
        {page.model.settings.map((it) => `${fieldLabel(it.name)} ${it.value}`).join(", ")}
      </p>
    </details>
  );
}

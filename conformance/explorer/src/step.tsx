// What the last step did: its sentence, changes, messages, rules, and where the implementation differs.

import type { Rule, Step } from "./types";

interface Shown {
  step: Step | undefined;
  at: number;
  rules: Record<string, Rule>;
}

export function StepPanel({ step, at, rules }: Shown) {
  if (!step) {
    return (
      <section class="laststep" aria-label="Last step">
        <h2>Start</h2>
        <p class="quiet">Every server is a follower in term 0 with an empty log.</p>
      </section>
    );
  }
  const differences = step.differences ?? [];
  const applied = (step.rules ?? []).flatMap((name) => rules[name] ?? []);
  return (
    <section class={`laststep${differences.length > 0 ? " differs" : ""}`} aria-label="Last step">
      <h2>Step {at}</h2>
      <p class="sentence">{step.sentence}</p>
      {step.outcome && <p class="outcome">{step.outcome}</p>}
      {step.changes.length > 0 && (
        <ul class="changes">
          {step.changes.map((it) => (
            <li key={it}>{it}</li>
          ))}
        </ul>
      )}
      {step.sent.length > 0 && (
        <ul class="sent">
          {step.sent.map((it, place) => (
            <li key={place}>{it}</li>
          ))}
        </ul>
      )}
      {differences.length > 0 && (
        <table class="wrongs">
          <caption class="label">the implementation differs</caption>
          <thead>
            <tr>
              <th scope="col">what</th>
              <th scope="col">expected</th>
              <th scope="col">actual</th>
            </tr>
          </thead>
          <tbody>
            {differences.map((it, place) => (
              <tr key={place}>
                <th scope="row">{it.what}</th>
                <td>{it.expected}</td>
                <td class="wrong">{it.actual}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {applied.length > 0 && <Rules rules={applied} />}
    </section>
  );
}

function Rules({ rules }: { rules: Rule[] }) {
  return (
    <div class="rules">
      <h3>Rules applied</h3>
      <ul>
        {rules.map((rule) => (
          <li key={rule.name}>
            <b>{rule.name}</b> <span class="quiet">{rule.source}</span>
            {rule.text && <span class="what">{rule.text}</span>}
            <span class="places">
              {rule.places.map((it) =>
                it.href ? (
                  <a key={it.label} href={it.href} target="_blank" rel="noopener">
                    {it.label}
                  </a>
                ) : (
                  <code key={it.label}>{it.label}</code>
                ),
              )}
            </span>
            {rule.code && (
              <details>
                <summary>source</summary>
                <pre class="code">{rule.code}</pre>
              </details>
            )}
          </li>
        ))}
      </ul>
    </div>
  );
}

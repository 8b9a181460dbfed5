// What the last step did: its sentence, changes, messages, and where the implementation differs; and the rules that
// it applied.

import type { Rule, Step } from "./types";

export function StepPanel({ step, at }: { step: Step | undefined; at: number }) {
  if (!step) {
    return (
      <section class="laststep" aria-label="Last step">
        <h2>Start</h2>
        <p class="quiet">Every server is a follower in term 0 with an empty log.</p>
      </section>
    );
  }
  const differences = step.differences ?? [];
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
    </section>
  );
}

/** The rules that a step applied, each with the section that it is from and links to its source. */
export function Rules({ step, rules }: { step: Step | undefined; rules: Record<string, Rule> }) {
  const applied = (step?.rules ?? []).flatMap((name) => rules[name] ?? []);
  if (applied.length === 0) return null;
  return (
    <section class="rules" aria-label="Rules applied">
      <h2>
        Rules <span class="quiet">{applied.length} applied by this step</span>
      </h2>
      <ul>
        {applied.map((rule) => (
          <li key={rule.name}>
            <details>
              <summary>
                {rule.name} <span class="quiet">{rule.source}</span>
                <span class="what">{rule.text}</span>
              </summary>
              {rule.code && (
                <pre class="code" tabIndex={0} role="group" aria-label={`Source of ${rule.name}`}>
                  {rule.code}
                </pre>
              )}
            </details>
            <p class="places">
              {rule.places.map((it) => {
                const [side = "", ...place] = it.label.split(": ");
                const where = place.join(": ");
                return (
                  <span key={it.label}>
                    {side}{" "}
                    {it.href ? (
                      <a href={it.href} target="_blank" rel="noopener">
                        {where}
                      </a>
                    ) : (
                      <code>{where}</code>
                    )}
                  </span>
                );
              })}
            </p>
          </li>
        ))}
      </ul>
    </section>
  );
}

// Pure functions of a story.

import type { Actual, Flight, Json, Story, View } from "./types";

/** The state of a server after `steps` steps. */
export function viewAfter(story: Story, server: number, steps: number): View {
  for (let at = Math.min(steps, story.steps.length) - 1; at >= 0; at--) {
    const step = story.steps[at];
    if (step?.server === server && step.view) return step.view;
  }
  return story.start;
}

/** The last step, before or at `steps`, at which the implementation showed this server. */
export function actualAfter(story: Story, server: number, steps: number): Actual | undefined {
  for (let at = Math.min(steps, story.steps.length) - 1; at >= 0; at--) {
    const step = story.steps[at];
    if (step?.server === server) return step.actual;
  }
  return undefined;
}

/** Deep equality of plain data. */
export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  const keys = Object.keys(left);
  if (keys.length !== Object.keys(right).length) return false;
  return keys.every((key) => key in right && same(left[key], right[key]));
}

/** The fields in which two views differ. */
export function changedFields(before: View, after: View): Set<string> {
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return new Set([...keys].filter((key) => !same(before[key], after[key])));
}

/** The messages in flight after `steps` steps. */
export function inFlight(story: Story, steps: number): Flight[] {
  return story.flights.filter((it) => {
    const born = it.born === null || it.born < steps;
    const end = flightEnd(it);
    return born && (end === undefined || end >= steps);
  });
}

/** The step at which a message was delivered or lost. */
export function flightEnd(flight: Flight): number | undefined {
  if (flight.fate === "in_flight") return undefined;
  return "delivered" in flight.fate ? flight.fate.delivered : flight.fate.lost;
}

/** The name of a field for people. */
export function fieldLabel(name: string): string {
  return name.replaceAll("_", " ");
}

/** A role for people. */
export function roleLabel(role: string): string {
  return role.replaceAll("_", "-");
}

/** A value in a line. */
export function plain(value: Json | undefined): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.map(plain).join(", ");
  if (typeof value === "object") {
    const pairs = Object.entries(value).map(([key, it]) => `${fieldLabel(key)} ${plain(it)}`);
    return pairs.length === 0 ? "none" : pairs.join(", ");
  }
  return String(value).replaceAll("_", " ");
}

// The JSON of the endpoints. A view is open: the page shows every field that it finds, so that a field which
// the specification gets later appears without another front end.

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** The state of a server, as in a trace. */
export interface View {
  role: string;
  term: number;
  log: Entry[];
  commit: number;
  [field: string]: Json | Entry[];
}

export interface Entry {
  term: number;
  payload: "empty" | { value: number };
  [field: string]: Json;
}

export interface Difference {
  what: string;
  expected: string;
  actual: string;
}

/** What the implementation did, and the fields of the view that differ in what is compared. */
export interface Actual {
  outcome: string;
  sent: string[];
  view: View;
  wrong: string[];
}

export interface Rule {
  name: string;
  source: string;
  text: string;
  places: { label: string; href: string }[];
  code: string;
}

export interface Step {
  server: number | null;
  kind: string;
  sentence: string;
  event: string;
  label?: string;
  outcome?: string;
  view?: View;
  changes: string[];
  sent: string[];
  rules?: string[];
  actual?: Actual;
  differences?: Difference[];
}

export interface Flight {
  from: number;
  to: number;
  kind: string;
  label: string;
  sentence: string;
  born: number | null;
  copy_of?: number;
  after_persist: boolean;
  fate: "in_flight" | { delivered: number } | { lost: number };
}

export interface Story {
  name: string;
  purpose: string;
  config: { servers: number; [field: string]: Json };
  servers: number[];
  start: View;
  steps: Step[];
  flights: Flight[];
  rules: Record<string, Rule>;
}

export interface Setting {
  name: string;
  value: string;
}

export interface ModelInfo {
  key: string;
  preset: string;
  purpose: string;
  settings: Setting[];
}

export interface Action {
  link: string;
  kind: string;
  sentence: string;
  effect: string;
  disabled?: string;
}

export interface Message {
  from: number;
  to: number;
  kind: string;
  sentence: string;
  copies: number;
  actions: Action[];
}

export interface Property {
  name: string;
  source: string;
  kind: "state" | "step";
  antecedent: boolean;
  holds: boolean;
  violated_at?: number;
}

export interface Witness {
  name: string;
  story: string;
  /** A preset in which it is reached. */
  preset: string;
  reached_at?: number;
}

export interface Budget {
  name: string;
  spent: number;
  limit: number;
}

export interface Page {
  model: ModelInfo;
  path: string;
  future: string;
  seal: string;
  at: number;
  story: Story;
  svg: string;
  servers: { server: number; actions: Action[] }[];
  messages: Message[];
  budgets: Budget[];
  properties: Property[];
  witnesses: Witness[];
  within_bounds: boolean;
  diverged_at?: number;
}

export interface Target {
  name: string;
  version: string;
  shows: string[];
  dialect: string[];
}

export interface Named {
  name: string;
  text: string;
}

export interface Start {
  version: string;
  model: string;
  presets: ModelInfo[];
  target: Target | null;
  examples: string[];
  witnesses: Named[];
  properties: Named[];
  exports: Named[];
}

export type Search =
  | { state: "running"; states: number; depth: number }
  | { state: "found"; path: string; steps: number }
  | { state: "nowhere"; states: number }
  | { state: "stopped"; by: string; states: number }
  | { state: "failed"; error: string };

export interface Imported {
  name: string;
  purpose: string;
  model: string;
  path: string;
  steps: number;
  disagrees?: { step: number; reason: string; differences: Difference[] };
}

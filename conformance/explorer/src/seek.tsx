// The search for a state by a condition.

import { useEffect, useRef, useState } from "preact/hooks";
import * as api from "./api";
import type { Search, Start } from "./types";

const POLL = 250;

export interface Searching {
  state: Search | undefined;
  begin: (model: string, path: string, from: "here" | "start", condition: string) => Promise<void>;
  stop: () => void;
}

/** A search that is asked for from time to time. */
export function useSearch(onFound: (path: string) => void): Searching {
  const [state, setState] = useState<Search>();
  const number = useRef<number | undefined>(undefined);
  const found = useRef(onFound);
  found.current = onFound;
  useEffect(() => {
    return () => {
      number.current = undefined;
    };
  }, []);
  const begin: Searching["begin"] = async (model, path, from, condition) => {
    setState({ state: "running", states: 0, depth: 0 });
    try {
      const begun = await api.search(model, path, from, condition);
      number.current = begun.search;
      for (;;) {
        const now = await api.searched(begun.search);
        if (number.current !== begun.search) return;
        setState(now);
        if (now.state === "found") found.current(now.path);
        if (now.state !== "running") return;
        await new Promise((wake) => setTimeout(wake, POLL));
      }
    } catch (error) {
      setState({ state: "failed", error: error instanceof Error ? error.message : String(error) });
    }
  };
  const stop = () => {
    if (number.current !== undefined) void api.stopSearch(number.current);
  };
  return { state, begin, stop };
}

const grouped = (number: number) => number.toLocaleString("en");

export function Progress({ search }: { search: Searching }) {
  const { state, stop } = search;
  if (!state) return null;
  if (state.state === "running") {
    return (
      <p class="progress" role="status">
        {grouped(state.states)} states, {state.depth} deep
        <button type="button" class="small" onClick={stop}>
          stop
        </button>
      </p>
    );
  }
  const words = {
    found: () => (state.state === "found" ? `found, ${state.steps} steps` : ""),
    nowhere: () => (state.state === "nowhere" ? `nowhere: all ${grouped(state.states)} states were visited` : ""),
    stopped: () => (state.state === "stopped" ? `stopped (${state.by}) after ${grouped(state.states)} states` : ""),
    failed: () => (state.state === "failed" ? state.error : ""),
  }[state.state]();
  return (
    <p class={`progress ${state.state}`} role="status">
      {words}
    </p>
  );
}

interface SeekProps {
  start: Start;
  model: string;
  path: string;
  onFound: (path: string) => void;
}

export function Seek({ start, model, path, onFound }: SeekProps) {
  const [text, setText] = useState("");
  const [from, setFrom] = useState<"here" | "start">("start");
  const search = useSearch(onFound);
  return (
    <section class="seek" aria-label="Search">
      <h2>Search</h2>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (text.trim() !== "") void search.begin(model, path, from, text);
        }}
      >
        <input
          id="condition"
          type="text"
          list="conditions"
          value={text}
          placeholder="two leaders"
          aria-label="Condition"
          autocomplete="off"
          spellcheck={false}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <datalist id="conditions">
          {start.examples.map((it) => (
            <option value={it} key={it} />
          ))}
          {start.witnesses.map((it) => (
            <option value={it.name} key={it.name}>
              {it.text}
            </option>
          ))}
        </datalist>
        <select
          aria-label="From where"
          value={from}
          onChange={(event) => setFrom(event.currentTarget.value === "here" ? "here" : "start")}
        >
          <option value="start">from the start</option>
          <option value="here">from here</option>
        </select>
        <button type="submit">shortest way</button>
      </form>
      <Progress search={search} />
    </section>
  );
}

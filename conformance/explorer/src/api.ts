// Requests to the program.

import type { Imported, Page, Search, Start } from "./types";

async function ask<T>(path: string, query: Record<string, string>, init?: RequestInit): Promise<T> {
  const text = new URLSearchParams(query).toString();
  const answer = await fetch(text === "" ? path : `${path}?${text}`, init);
  const body = (await answer.json()) as T & { error?: string };
  if (!answer.ok) throw new Error(body.error ?? `${answer.status} ${answer.statusText}`);
  return body;
}

export const start = () => ask<Start>("/api/start", {});

export const state = (model: string, path: string, future: string) =>
  ask<Page>("/api/state", { model, path, future });

export const walk = (model: string, path: string, steps: number) =>
  ask<{ path: string; steps: number }>("/api/walk", { model, path, steps: String(steps) });

export const search = (model: string, path: string, from: "here" | "start", condition: string) =>
  ask<{ search: number }>("/api/search", { model, path, from, for: condition }, { method: "POST" });

export const searched = (search: number) => ask<Search>(`/api/search/${search}`, {});

export const stopSearch = (search: number) => ask<Search>(`/api/search/${search}`, {}, { method: "DELETE" });

export const importTrace = (body: Blob) => ask<Imported>("/api/import", {}, { method: "POST", body });

export const exportUrl = (model: string, path: string, as: string) =>
  `/api/export?${new URLSearchParams({ model, path, as })}`;

// Light, dark, or as the system says.

const KEY = "lockstep-theme";
const ORDER = ["auto", "light", "dark"] as const;
export type Theme = (typeof ORDER)[number];

/** The theme that was chosen. */
export function theme(): Theme {
  try {
    const kept = localStorage.getItem(KEY);
    return ORDER.find((it) => it === kept) ?? "auto";
  } catch {
    // A page from a file may have no storage.
    return "auto";
  }
}

/** Shows a theme, and keeps it. */
export function setTheme(theme: Theme): void {
  const root = document.documentElement;
  if (theme === "auto") delete root.dataset["theme"];
  else root.dataset["theme"] = theme;
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // As above.
  }
}

/** The theme after this one. */
export function nextTheme(theme: Theme): Theme {
  return ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length] ?? "auto";
}

// Light or dark: what the reader chose, else what the system says.
import { useEffect, useState } from "./dom.js";

const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set();

function stored() {
  try {
    return localStorage.getItem("tunewell-theme") ?? "auto";
  } catch {
    return "auto";
  }
}
let choice = stored();

const isDark = () => (choice === "auto" ? system.matches : choice === "dark");
const tell = () => listeners.forEach((listen) => listen({ choice, dark: isDark() }));
system.addEventListener("change", tell);

/** Choose "light", "dark" or "auto". */
export function choose(next) {
  choice = next;
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    if (next === "auto") localStorage.removeItem("tunewell-theme");
    else localStorage.setItem("tunewell-theme", next);
  } catch {
    // It holds for this page at least.
  }
  tell();
}

/** The choice and whether it comes out dark, kept up to date. */
export function useShade() {
  const [shade, set] = useState({ choice, dark: isDark() });
  useEffect(() => {
    listeners.add(set);
    return () => listeners.delete(set);
  }, []);
  return shade;
}

// How a run is, as icon and word: colour only repeats it.
import { html } from "../dom.js";
import { Icon, iconOfRun } from "./icons.js";

/** One line: the state of `run` (a row of the list) in its own words or in `text`. */
export function Status({ run, text, large = false }) {
  return html`<span class=${`status ${run.level}${large ? " large" : ""}`}><${Icon} name=${iconOfRun(run)} /><span>${text ?? run.words}</span></span>`;
}

/** How far a run is: a bar with its share in words. */
export function Progress({ value, level = "good", label }) {
  const share = Math.max(0, Math.min(1, value ?? 0));
  return html`<div class=${`progress ${level}`} role="progressbar" aria-label=${label} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(share * 100)}>
    <div style=${{ width: `${share * 100}%` }}></div>
  </div>`;
}

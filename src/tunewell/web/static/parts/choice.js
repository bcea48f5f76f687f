// A row of choices of which one holds.
import { html } from "../dom.js";

/** `options` are [value, words] or values; `label` names the choice to those who don't see it. */
export function Choice({ label, options, value, onChange }) {
  return html`<div class="choice" role="group" aria-label=${label}>
    ${options.map((option) => {
      const [key, text] = Array.isArray(option) ? option : [option, option];
      return html`<button type="button" key=${key} aria-pressed=${key === value} onClick=${() => onChange(key)}>${text}</button>`;
    })}
  </div>`;
}

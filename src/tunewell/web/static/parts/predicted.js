// What was predicted of a row then and now, and whether that changed: said in words, beside a drawing.
import { html } from "../dom.js";
import { num, percent } from "../format.js";
import { Icon } from "./icons.js";

/** `then` and `now`: {label, probability}; `label`: the one given. `thenWords` says when the first was. */
export function Predicted({ label, then, now, changed, thenWords = "then" }) {
  if (!then && !now) return null;
  return html`<p class="row-facts predicted">
    ${then && html`<span>predicted ${thenWords} <b>${said(then)}</b>${sure(then)}${verdict(then, label)}</span>`}
    ${now && html`<span>now <b>${said(now)}</b>${sure(now)}${verdict(now, label)}</span>`}
    ${changed && html`<span class="tag changed"><${Icon} name="undo" />changed</span>`}</p>`;
}

const said = ({ label, probability }) => (typeof probability === "number" || Number.isNaN(Number(label)) ? String(label ?? "–") : num(Number(label), 3));
const sure = ({ probability }) => (typeof probability === "number" ? ` (${percent(probability, 0)})` : "");

/** Right or wrong, of classes alone: a number is hardly ever met. */
function verdict({ label: predicted, probability }, label) {
  if (typeof probability !== "number" || (label ?? null) === null) return null;
  const right = String(predicted) === String(label);
  return html` <span class=${right ? "right" : "wrong"}><${Icon} name=${right ? "check" : "close"} />${right ? "right" : "wrong"}</span>`;
}

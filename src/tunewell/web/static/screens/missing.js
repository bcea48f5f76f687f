import { html } from "../dom.js";
import { Nothing } from "../parts/problem.js";

/** For an address that names no screen. */
export function Missing() {
  return html`<div class="page"><${Nothing} title="There is no such page."><p><a href="/">See all runs</a></p><//></div>`;
}

import { html } from "../dom.js";

/** For an address that names no screen. */
export function Missing() {
  return html`<div class="page"><div class="empty"><h1>There is no such page.</h1><p><a href="/">See all runs</a></p></div></div>`;
}

// What went wrong with a question to the server, and what to do; and what is shown until it answers.
import { html } from "../dom.js";
import { capital } from "../format.js";
import { Icon } from "./icons.js";

export function Problem({ error, onAgain }) {
  return html`<div class="problem" role="alert">
    <${Icon} name="attention" />
    <div>
      <strong>${capital(error.message)}.</strong>
      ${error.fix && html`<p>${capital(error.fix)}.</p>`}
      ${onAgain && html`<button type="button" onClick=${onAgain}>Try again</button>`}
    </div>
  </div>`;
}

export function Loading({ what = "Reading the run" }) {
  return html`<p class="loading" role="status">${what} …</p>`;
}

/** A place where nothing is yet, and why. */
export function Nothing({ title, children }) {
  return html`<div class="empty"><h3>${title}</h3>${children}</div>`;
}

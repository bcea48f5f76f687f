// A command for the terminal that can be copied.
import { html, useState } from "../dom.js";
import { Icon } from "./icons.js";

/** `text` in a box with a button; where the clipboard is closed to pages, the text is selected. */
export function Command({ text, label = "Copy command" }) {
  const [copied, setCopied] = useState(false);
  const copy = async (event) => {
    const box = event.currentTarget.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      setTimeout(() => setCopied(false), 2000);
    } catch {
      getSelection().selectAllChildren(box);
    }
  };
  return html`<div class="command">
    <code tabindex="0">${text}</code>
    <button type="button" class="quiet" aria-label=${label} onClick=${copy}><${Icon} name=${copied ? "check" : "copy"} /><span role="status">${copied ? "Copied" : "Copy"}</span></button>
  </div>`;
}

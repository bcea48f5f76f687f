// Windows over the page: a dialog in the middle, a drawer at the side. The browser's own <dialog> keeps the focus inside,
// makes the rest inert, closes on Esc and gives the focus back.
import { html, useEffect, useRef } from "../dom.js";
import { Icon } from "./icons.js";

/** A modal window; `onClose` is called on Esc, on a click beside it and on its cross. */
export function Dialog({ title, onClose, children, drawer = false, footer }) {
  const element = useRef(null);
  useEffect(() => {
    const before = document.activeElement;
    const dialog = element.current;
    dialog.showModal();
    return () => {
      if (dialog.open) dialog.close();
      if (before?.isConnected) before.focus({ preventScroll: true });
    };
  }, []);
  const beside = (event) => event.target === element.current && onClose();
  const cancel = (event) => {
    event.preventDefault();
    onClose();
  };
  return html`<dialog ref=${element} class=${drawer ? "drawer" : "window"} aria-label=${title} onCancel=${cancel} onMouseDown=${beside}>
    <div class="dialog-body">
      <header><h2>${title}</h2><button type="button" class="quiet icon-only" aria-label="Close" title="Close (Esc)" onClick=${onClose}><${Icon} name="close" /></button></header>
      <div class="dialog-content">${children}</div>
      ${footer && html`<footer>${footer}</footer>`}
    </div>
  </dialog>`;
}

// Whether news arrive. Training does not depend on this page, and the page says so when it loses sight of it.
import { html, useEffect, useState } from "../dom.js";
import { reconnect, watchState } from "../stream.js";
import { Icon } from "./icons.js";

const GRACE = 1500; // a connection that is back by then was never missed

/** A bar while the connection is lost: how old what is shown is, and that training goes on. */
export function Connection() {
  const [state, set] = useState({ open: true, last: Date.now(), since: Date.now() });
  const [now, setNow] = useState(Date.now());
  useEffect(() => watchState(set), []);
  useEffect(() => {
    if (state.open) return undefined;
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [state.open]);
  if (state.open || (!state.everOpen && now - state.since < GRACE * 2) || now - state.since < GRACE) return null;
  const seconds = Math.max(1, Math.round((now - state.last) / 1000));
  return html`<div class="connection" role="status">
    <${Icon} name="attention" />
    <span>No connection · last update ${seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`} ago; training continues</span>
    <button type="button" class="quiet" onClick=${reconnect}>Connect now</button>
  </div>`;
}

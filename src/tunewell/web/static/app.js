// The page: a bar on top, one screen below it.
import { render } from "./vendor/preact.mjs";
import { html, useEffect, useRef, useState } from "./dom.js";
import { followLinks, go, screenOf, useRoute } from "./router.js";
import { start } from "./stream.js";
import { onKey } from "./keys.js";
import { choose, useShade } from "./shade.js";
import { Connection } from "./parts/connection.js";
import { Help } from "./parts/help.js";
import { Icon } from "./parts/icons.js";
import { Runs } from "./screens/runs.js";
import { Run } from "./screens/run.js";
import { Compare } from "./screens/compare.js";
import { Missing } from "./screens/missing.js";

const NEXT_SHADE = { auto: "light", light: "dark", dark: "auto" };
const SHADE_ICONS = { auto: "auto", light: "sun", dark: "moon" };

function ShadeButton() {
  const { choice } = useShade();
  const words = `Colours: ${choice === "auto" ? "as the system" : choice}`;
  return html`<button type="button" class="quiet icon-only" title=${`${words} (t)`} aria-label=${words} onClick=${() => choose(NEXT_SHADE[choice])}><${Icon} name=${SHADE_ICONS[choice]} /></button>`;
}

function TopBar({ screen, onHelp }) {
  const here = (name) => (name === screen ? "page" : undefined);
  return html`<header class="top">
    <a class="brand" href="/"><svg viewBox="0 0 32 32" aria-hidden="true" focusable="false"><path d="M4 9c4 0 5 12 10 12s5-5 14-5" /></svg>Tunewell</a>
    <nav aria-label="Main"><a href="/" aria-current=${here("runs")}>Runs</a><a href="/compare" aria-current=${here("compare")}>Compare</a></nav>
    <div class="top-tools">
      <${ShadeButton} />
      <button type="button" class="quiet icon-only" title="Keys and help (?)" aria-label="Keys and help" onClick=${onHelp}><${Icon} name="help" /></button>
    </div>
  </header>`;
}

function App() {
  const route = useRoute();
  const { screen, run } = screenOf(route.path);
  const [help, setHelp] = useState(false);
  const { choice } = useShade();
  const main = useRef(null);
  useEffect(() => onKey({ "?": () => setHelp(true), t: () => choose(NEXT_SHADE[choice]), g: () => go("/") }), [choice]);
  return html`<div onClick=${followLinks}>
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); main.current.focus(); }}>Skip to content</a>
    <${TopBar} screen=${screen} onHelp=${() => setHelp(true)} />
    <${Connection} />
    <main id="main" tabindex="-1" ref=${main}>
      ${screen === "runs" ? html`<${Runs} />`
        : screen === "compare" ? html`<${Compare} />`
        : screen === "missing" ? html`<${Missing} />`
        : html`<${Run} key=${run} run=${run} tab=${screen} />`}
    </main>
    ${help && html`<${Help} onClose=${() => setHelp(false)} />`}
  </div>`;
}

start();
render(html`<${App} />`, document.getElementById("app"));

// Windows of the controls that need a value or a second thought.
import { html, useState } from "../dom.js";
import { ago, bytes, capital, count, num } from "../format.js";
import { Dialog } from "./dialog.js";
import { Icon } from "./icons.js";
import { Problem } from "./problem.js";

const FACTORS = [["× 0.1", 0.1], ["× 0.5", 0.5], ["× 2", 2]];

export function RateDialog({ overview, ask, onClose }) {
  const now = overview.rates?.learning_rate ?? overview.schedule?.learning_rate ?? null;
  const [text, setText] = useState(now === null ? "" : num(now, 3));
  const [error, setError] = useState(null);
  const value = Number(text.replace("−", "-"));
  const wrong = text.trim() === "" || !Number.isFinite(value) ? "Write a number such as 2e-5." : value <= 0 ? "It must be larger than 0." : value > 10 ? "It must be at most 10." : "";
  const send = async (event) => {
    event.preventDefault();
    if (!wrong) setError(await ask({ action: { do: "set_learning_rate", value } }));
  };
  return html`<${Dialog} title="Learning rate" onClose=${onClose}>
    <form class="form" onSubmit=${send}>
      <p>It is <b>${num(now, 3)}</b> now. The schedule goes on from the new value in proportion.</p>
      <label>New learning rate<input type="text" inputmode="decimal" value=${text} autofocus aria-invalid=${Boolean(wrong)} aria-describedby="rate-wrong" onInput=${(event) => setText(event.currentTarget.value)} /></label>
      ${now !== null && html`<div class="choice" role="group" aria-label="Multiply the present rate">${FACTORS.map(([words, factor]) => html`<button type="button" key=${words} onClick=${() => setText(num(now * factor, 3))}>${words}</button>`)}</div>`}
      <p id="rate-wrong" class="wrong" role="status">${wrong}</p>
      ${error && html`<${Problem} error=${error} />`}
      <div class="form-end"><button type="button" onClick=${onClose}>Cancel</button><button type="submit" class="primary" aria-disabled=${Boolean(wrong)}>Set learning rate</button></div>
    </form>
  <//>`;
}

export function RollbackDialog({ overview, ask, onClose }) {
  const kept = (overview.commits ?? []).filter((one) => one.present).reverse();
  const [chosen, choose] = useState((kept.find((one) => one.healthy && one.step < overview.run.step) ?? kept[0])?.commit ?? null);
  const [factor, setFactor] = useState("1");
  const [error, setError] = useState(null);
  const send = async (event) => {
    event.preventDefault();
    const action = { do: "rollback", before: overview.run.step + 1, commit: chosen };
    if (factor !== "1") action.learning_rate_factor = Number(factor);
    setError(await ask({ action }));
  };
  return html`<${Dialog} title="Roll back" onClose=${onClose}>
    <form class="form" onSubmit=${send}>
      <p>Weights and optimizer become what they were. The rows since then are passed over, not trained on again.</p>
      ${kept.length === 0 && html`<p class="muted">No checkpoint is there yet.</p>`}
      <fieldset class="commits"><legend>Checkpoint</legend>
        ${kept.map((one) => html`<label key=${one.commit}><input type="radio" name="commit" checked=${one.commit === chosen} onChange=${() => choose(one.commit)} />
          <span><b>Step ${count(one.step)}</b> <span class="muted">${marks(one)} · ${ago(one.time)} · ${bytes(one.bytes)}</span></span></label>`)}
      </fieldset>
      <label>Learning rate afterwards<select value=${factor} onChange=${(event) => setFactor(event.currentTarget.value)}><option value="1">as it is</option><option value="0.5">half</option><option value="0.1">a tenth</option></select></label>
      ${error && html`<${Problem} error=${error} />`}
      <div class="form-end"><button type="button" onClick=${onClose}>Cancel</button><button type="submit" class="primary" disabled=${chosen === null}>Roll back</button></div>
    </form>
  <//>`;
}

const marks = (one) => [one.best && "best", one.healthy && "healthy", one.pinned && "pinned", one.reason].filter(Boolean).map(capital).join(", ");

export function StopDialog({ overview, ask, onClose }) {
  const [error, setError] = useState(null);
  const { run } = overview;
  const send = async () => setError(await ask({ action: { do: "stop" } }));
  return html`<${Dialog} title="Stop and save" onClose=${onClose}>
    <p>Training ends after the present update (step ${count(run.step)} of ${count(run.total_steps)}). The best weights so far are restored, scored on the test rows and exported, as at any end.</p>
    <p class="muted">To go on later, Pause keeps the run as it is.</p>
    ${error && html`<${Problem} error=${error} />`}
    <div class="form-end"><button type="button" autofocus onClick=${onClose}>Go on training</button><button type="button" class="danger" onClick=${send}><${Icon} name="stop" />Stop and save</button></div>
  <//>`;
}

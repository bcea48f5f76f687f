// What a person can do to a run, always in reach. Where something can't be done, the button says why.
import { html, useEffect, useRef, useState } from "../dom.js";
import { request } from "../api.js";
import { capital, count, num } from "../format.js";
import { Icon } from "./icons.js";
import { RateDialog, RollbackDialog, StopDialog } from "./control_dialogs.js";

const OVER = ["completed", "stopped", "failed", "interrupted", "crashed", "unreadable"];
const LATEST = 12_000; // an answer is shown here for so long; the list beside the curves keeps it

export function Controls({ overview }) {
  const { run, can = {}, paused, asked = [] } = overview;
  const [dialog, setDialog] = useState("");
  const [said, setSaid] = useState(null);
  const ask = async (wish) => {
    setSaid({ text: "asking …", state: "requested" });
    try {
      const answer = await request(run.id, wish);
      setSaid({ id: answer?.asked?.id, text: answer?.asked?.what ?? "", state: "requested", time: Date.now() });
      setDialog("");
      return null;
    } catch (error) {
      setSaid({ text: error.message, state: "refused", time: Date.now() });
      return error;
    }
  };
  if (OVER.includes(run.status)) return html`<div class="controls over"><span class="muted"><${Icon} name="off" />${overHint(run)}</span></div>`;
  const act = (doing) => () => ask({ action: { do: doing } });
  return html`<div class="controls" role="group" aria-label="Controls of this run">
    <div class="control-buttons">
      ${paused ? html`<${Control} icon="play" words="Resume" can=${can.resume} onClick=${act("resume")} primary />` : html`<${Control} icon="pause" words="Pause" can=${can.pause} onClick=${act("pause")} />`}
      <${Control} icon="save" words="Save now" can=${can.save} onClick=${act("save_now")} />
      <${Control} icon="evaluate" words="Evaluate now" can=${can.evaluate} onClick=${act("evaluate_now")} />
      <${Control} icon="rate" words="Learning rate…" can=${can.lr} onClick=${() => setDialog("rate")} />
      <${Control} icon="undo" words="Roll back…" can=${can.rollback} onClick=${() => setDialog("rollback")} />
      <${Control} icon="stop" words="Stop and save" can=${can.stop} onClick=${() => setDialog("stop")} danger />
    </div>
    <${Latest} said=${said} asked=${asked} onUndo=${(id) => ask({ undo: id })} />
    ${dialog === "rate" && html`<${RateDialog} overview=${overview} ask=${ask} onClose=${() => setDialog("")} />`}
    ${dialog === "rollback" && html`<${RollbackDialog} overview=${overview} ask=${ask} onClose=${() => setDialog("")} />`}
    ${dialog === "stop" && html`<${StopDialog} overview=${overview} ask=${ask} onClose=${() => setDialog("")} />`}
  </div>`;
}

const overHint = (run) =>
  run.status === "interrupted" || run.status === "crashed" ? `Not running · tunewell resume ${run.name}` : `The run is over (${run.status}); all of it stays here to read`;

function Control({ icon, words, can, onClick, primary, danger }) {
  const free = can === true || can === undefined;
  const why = free ? undefined : capital(String(can || "not now"));
  const click = () => free && onClick();
  return html`<button type="button" class=${primary ? "primary" : danger ? "danger" : ""} aria-disabled=${free ? undefined : "true"} title=${why} aria-description=${why} onClick=${click}><${Icon} name=${icon} />${words}</button>`;
}

/** What became of the last thing asked here, from requested to applied. */
function Latest({ said, asked, onUndo }) {
  const [now, setNow] = useState(Date.now());
  const timer = useRef(0);
  const found = said?.id ? asked.find((one) => one.id === said.id) : null;
  const state = found?.state ?? said?.state;
  useEffect(() => {
    setNow(Date.now());
    clearTimeout(timer.current);
    if (said && ["applied", "refused"].includes(state)) timer.current = setTimeout(() => setNow(Date.now() + LATEST), LATEST);
    return () => clearTimeout(timer.current);
  }, [said, state]);
  const shown = said && now < (said.time ?? Date.now()) + LATEST * 2 && !(["applied", "refused"].includes(state) && now > Date.now() + 1);
  const why = found ? found.why || found.detail : said?.text;
  return html`<p class=${`latest ${state ?? ""}`} role="status">${shown && html`
    <${Icon} name=${{ applied: "good", refused: "bad" }[state] ?? "waiting"} />
    <span>${capital(found?.what || said.text)}: <b>${state}</b>${state === "applied" && found?.step !== null && found?.step !== undefined ? ` at step ${count(found.step)}` : ""}${state === "refused" && why ? ` · ${why}` : ""}${found?.by ? ` · ${found.by}` : ""}</span>
    ${state === "applied" && found?.can_undo && !found.undone_by && html`<button type="button" class="quiet" onClick=${() => onUndo(found.id)}>Undo</button>`}`}</p>`;
}

export { num };

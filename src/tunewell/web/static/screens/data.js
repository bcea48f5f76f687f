// What the run was trained on: how many rows of which class and length, what is wrong with them, what was looked for.
import { html, useEffect, useState } from "../dom.js";
import { request } from "../api.js";
import { capital, count, counted, num, percent, words } from "../format.js";
import { useAnswer } from "../live.js";
import { Icon } from "../parts/icons.js";
import { Loading, Nothing, Problem } from "../parts/problem.js";

const VERDICTS = [["seen", "attention", "Seen"], ["blind", "blind", "Could not be checked"], ["fine", "good", "Checked and fine"]];

export function Data({ run, overview }) {
  const { data, error, again } = useAnswer(`/runs/${encodeURIComponent(run)}/data`);
  // Reviews of rows come after an epoch, with an evaluation: only then is there something new.
  useEffect(() => { if (data) again(); }, [overview.evals?.length]);
  if (error && !data) return html`<${Problem} error=${error} onAgain=${again} />`;
  if (!data) return html`<${Loading} what="Reading the data's record" />`;
  const checks = data.checks ?? [];
  const splits = Object.entries(data.splits ?? {});
  if (!splits.length && !checks.length) return html`<${Nothing} title="Nothing is known of the data"><p>This run began without a ledger of its rows: its loop gets them from elsewhere.</p><//>`;
  return html`<div class="data">
    <section class="splits" aria-label="Splits">${splits.map(([name, split]) => html`<${Split} key=${name} name=${name} split=${split} />`)}</section>
    <section aria-label="Checks"><h2>Checks of the rows</h2>
      ${!checks.length && html`<p class="muted">No check has been logged.</p>`}
      <div class="verdicts">${VERDICTS.map(([verdict, icon, title]) => html`<${Checks} key=${verdict} icon=${icon} title=${title} verdict=${verdict} checks=${checks.filter((one) => one.verdict === verdict)} />`)}</div>
    </section>
    <${Suspects} suspects=${data.suspects ?? []} run=${run} overview=${overview} />
    ${(data.notes ?? []).length > 0 && html`<section><h2>Notes</h2><ul class="plain">${data.notes.map((note, index) => html`<li key=${index}>${note}</li>`)}</ul></section>`}
  </div>`;
}

function Split({ name, split }) {
  const balance = Object.entries(split.balance ?? {});
  const lengths = split.tokens ?? split.characters;
  const unit = split.tokens ? "tokens" : "characters";
  const dropped = Object.entries(split.dropped ?? {}).filter(([, number]) => Number(number) > 0 || typeof number === "object");
  return html`<article class="panel split">
    <h2>${capital(name)}</h2>
    <p><b class="big">${count(split.kept ?? split.rows)}</b> rows${split.read && split.read !== split.kept ? ` kept of ${count(split.read)}` : ""}</p>
    ${balance.length > 0 && html`<h3>Balance</h3><${Bars} entries=${balance} />`}
    ${lengths && html`<h3>Length in ${unit}</h3><${Lengths} lengths=${lengths} limit=${split.max_length} />
      <p class="muted">${split.truncated ? `${counted(split.truncated, "row")} cut at ${count(split.max_length)}` : split.max_length ? "None is cut." : ""}</p>`}
    ${split.duplicates?.count > 0 && html`<p class="muted"><${Icon} name="info" /> ${counted(split.duplicates.count, "duplicate")}</p>`}
    ${dropped.map(([why, number]) => html`<p class="muted" key=${why}>${capital(words(why))}: ${count(typeof number === "object" ? number.count : number)} left out</p>`)}
  </article>`;
}

function Bars({ entries }) {
  const total = entries.reduce((sum, [, number]) => sum + number, 0) || 1;
  const most = Math.max(...entries.map(([, number]) => number), 1);
  const shown = [...entries].sort((a, b) => b[1] - a[1]).slice(0, 12);
  return html`<ul class="bars">${shown.map(([name, number]) => html`<li key=${name}>
    <span class="bar-name" title=${name}>${name}</span><span class="bar" aria-hidden="true"><i style=${{ width: `${(number / most) * 100}%` }}></i></span><span class="bar-value">${count(number)} <small>${percent(number / total)}</small></span></li>`)}
    ${entries.length > 12 && html`<li class="muted">and ${counted(entries.length - 12, "class").replace(/classs$/, "classes")} more</li>`}</ul>`;
}

/** Median, 95 % and longest on one line, with the limit. */
function Lengths({ lengths, limit }) {
  const most = Math.max(lengths.longest ?? 1, limit ?? 1);
  const places = [["median", lengths.median], ["95 % up to", lengths.p95], ["longest", lengths.longest]].filter(([, value]) => value !== undefined);
  return html`<div class="lengths"><div class="ruler" aria-hidden="true">${places.map(([name, value]) => html`<i key=${name} style=${{ left: `${(value / most) * 100}%` }}></i>`)}</div>
    <dl>${places.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${num(value, 3)}</dd></div>`)}${limit ? html`<div><dt>limit</dt><dd>${count(limit)}</dd></div>` : null}</dl></div>`;
}

function Checks({ icon, title, verdict, checks }) {
  if (!checks.length) return null;
  return html`<article class=${`panel verdict ${verdict}`}><h3><${Icon} name=${icon} />${title} <span class="number">${checks.length}</span></h3>
    <ul>${checks.map((check) => html`<li key=${check.name}><b>${capital(words(check.name))}</b>
      ${check.words && html`<span class="muted"> · ${check.words}</span>`}
      ${verdict === "seen" && check.of > 0 && check.count > 0 && html`<span class="muted">: ${count(check.count)} of ${counted(check.of, "row")}</span>`}
      ${verdict === "blind" && check.why_not && html`<small>${capital(check.why_not)}</small>`}
      ${check.detail && check.detail !== check.words && html`<small>${check.detail}</small>`}</li>`)}</ul></article>`;
}

const REASONS = { margin: "low margin", confident_learning: "other models disagree", forgetting: "often forgotten", late: "learned late" };

function Suspects({ suspects, run, overview }) {
  const [most, setMost] = useState(20);
  const [asked, setAsked] = useState([]);
  const [error, setError] = useState(null);
  const going = ["running", "paused"].includes(overview.run.status);
  const exclude = async (row) => {
    try {
      await request(run, { action: { do: "exclude_rows", rows: [row] } });
      setAsked((before) => [...before, row]);
    } catch (refused) {
      setError(refused);
    }
  };
  return html`<section aria-label="Suspected labels"><h2>Suspected labels ${suspects.length > 0 && html`<span class="number">${count(suspects.length)}</span>`}</h2>
    ${!suspects.length && html`<p class="muted">None so far. Labels are judged by how each row is learned, after the first epochs.</p>`}
    ${error && html`<${Problem} error=${error} />`}
    <ul class="suspects">${suspects.slice(0, most).map((one) => html`<li key=${one.row}>
      <div class="confidence"><b>${percent(one.confidence, 0)}</b><small>sure</small></div>
      <div><p class="row-text">${one.text ?? "(the text can't be read)"}</p>
        <p class="row-facts"><span>row ${count(one.row)}</span><span>given <b>${one.given || "–"}</b></span>${one.suggested && html`<span>rather <b>${one.suggested}</b></span>`}${(one.reasons ?? []).map((reason) => html`<span key=${reason}>${REASONS[reason] ?? words(reason)}</span>`)}</p></div>
      ${going && html`<button type="button" disabled=${asked.includes(one.row)} onClick=${() => exclude(one.row)}>${asked.includes(one.row) ? "Asked" : "Leave out"}</button>`}
    </li>`)}</ul>
    ${suspects.length > most && html`<button type="button" onClick=${() => setMost(most + 50)}>Show more</button>`}
  </section>`;
}

// What a policy would do and asks a person about, with what speaks for it.
import { html, useState } from "../dom.js";
import { request } from "../api.js";
import { capital, count, words } from "../format.js";
import { Icon } from "./icons.js";
import { Problem } from "./problem.js";

export function Proposal({ proposal, run, overview }) {
  const [sent, setSent] = useState("");
  const [error, setError] = useState(null);
  const answer = async (approve) => {
    setSent(approve ? "approved" : "declined");
    setError(null);
    try {
      await request(run, { answer: { proposal: proposal.id, approve } });
    } catch (refused) {
      setSent("");
      setError(refused);
    }
  };
  const incident = overview.incidents?.find((one) => one.id === proposal.evidence_incident);
  return html`<article class="proposal" aria-label=${`Proposal ${proposal.id}`}>
    <header><${Icon} name="help" /><div><h3>${capital(proposal.text)}?</h3><p class="muted">Proposal ${proposal.id}, since step ${count(proposal.step)}, because of ${words(proposal.code)}</p></div></header>
    ${proposal.reason && html`<p>${capital(proposal.reason)}</p>`}
    ${incident && html`<p class="meaning">${incident.seen[0]}</p>`}
    ${sent ? html`<p class="muted" role="status">You ${sent} it; the run takes it up after its present update.</p>` : html`<footer>
      <button type="button" class="primary" onClick=${() => answer(true)}><${Icon} name="check" />Approve</button>
      <button type="button" onClick=${() => answer(false)}><${Icon} name="close" />Decline</button>
    </footer>`}
    ${error && html`<${Problem} error=${error} />`}
  </article>`;
}

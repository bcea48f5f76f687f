// Tags and a note of a run: lines in its inbox, so that they travel with its folder.
import { html, useState } from "../dom.js";
import { request } from "../api.js";
import { Dialog } from "./dialog.js";
import { Problem } from "./problem.js";

export function Tags({ tags }) {
  if (!tags?.length) return null;
  return html`<span class="tags">${tags.map((tag) => html`<span class="tag" key=${tag}>${tag}</span>`)}</span>`;
}

/** Tags are separated by commas. */
export function LabelDialog({ run, onClose }) {
  const [tags, setTags] = useState((run.tags ?? []).join(", "));
  const [note, setNote] = useState(run.note ?? "");
  const [error, setError] = useState(null);
  const save = async (event) => {
    event.preventDefault();
    const list = [...new Set(tags.split(",").map((tag) => tag.trim()).filter(Boolean))];
    try {
      await request(run.id, { label: { tags: list, note } });
      onClose();
    } catch (refused) {
      setError(refused);
    }
  };
  return html`<${Dialog} title=${`Tags and note of ${run.name}`} onClose=${onClose}>
    <form onSubmit=${save} class="form">
      <label>Tags, separated by commas<input type="text" value=${tags} maxlength="400" autofocus onInput=${(event) => setTags(event.currentTarget.value)} /></label>
      <label>Note<textarea rows="4" maxlength="4000" value=${note} onInput=${(event) => setNote(event.currentTarget.value)}></textarea></label>
      ${error && html`<${Problem} error=${error} />`}
      <div class="form-end"><button type="button" onClick=${onClose}>Cancel</button><button type="submit" class="primary">Save</button></div>
    </form>
  <//>`;
}

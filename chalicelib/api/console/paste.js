// A curl command that is pasted fills the form.

import { readCurl } from "./curl.js";
import { useState } from "./preact-hooks.js";
import { html, Text } from "./ui.js";

/** Take a curl command; `onRead` gets the fields of the form that it says. */
export function Paste({ onRead }) {
  const [text, set] = useState("");
  const [notes, setNotes] = useState(/** @type {string[] | null} */ (null));
  function read(command) {
    set(command);
    if (!command.trim()) {
      setNotes(null);
      return;
    }
    const { fields, notes } = readCurl(command);
    if (fields) onRead(fields);
    setNotes(fields ? ["The fields below are filled in.", ...notes] : notes);
  }
  return html`<details class="paste">
    <summary>Paste a curl command</summary>
    <textarea aria-label="curl command" rows="4" spellcheck=${false} placeholder="curl https://…" value=${text} onInput=${(event) => read(event.target.value)}></textarea>
    <div role="status">
      ${notes && html`<ul class="notes">${notes.map((note) => html`<li><${Text} of=${note} /></li>`)}</ul>`}
    </div>
  </details>`;
}

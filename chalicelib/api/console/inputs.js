// The inputs of a form, each with the errors of its field.

import { messageFor } from "./draft.js";
import { html, Text } from "./ui.js";

/** A labelled input, which `children` makes of its attributes, with its errors and a note. */
export function Field({ label, field, errors, children, note }) {
  const name = field.replaceAll(".", "-");
  const message = messageFor(errors, field);
  return html`<div class="field ${message ? "is-wrong" : ""}">
    <label for=${name}>${label}</label>
    ${children({ id: name, "aria-invalid": message ? "true" : null, "aria-describedby": `${name}-error ${name}-note` })}
    <p class="error" id=${`${name}-error`}>${message && html`<${Text} of=${message} />`}</p>
    ${note && html`<p class="note" id=${`${name}-note`}>${note}</p>`}
  </div>`;
}

/** A labelled line of text; whatever else is given are attributes of the input. */
export function Line({ label, field, errors, note = null, onChange, ...rest }) {
  return html`<${Field} label=${label} field=${field} errors=${errors} note=${note}>
    ${(of) => html`<input ...${of} type="text" spellcheck=${false} autocomplete="off" ...${rest} onInput=${(event) => onChange(event.target.value)} />`}
  <//>`;
}

/** A row of radio buttons: `options` has the words of each value. */
export function Choice({ name, value, options, onChange, labelled }) {
  return html`<div class="choice" role="radiogroup" aria-labelledby=${labelled}>
    ${Object.entries(options).map(
      ([option, words]) =>
        html`<label><input type="radio" name=${name} value=${option} checked=${value === option} onChange=${() => onChange(option)} /><span>${words}</span></label>`,
    )}
  </div>`;
}

/** Pairs of a name and a value, as many as one likes. */
export function Pairs({ label, one, field, errors, pairs, onChange }) {
  const name = field.replaceAll(".", "-");
  const message = messageFor(errors, field);
  const change = (place, changed) =>
    onChange(pairs.map((pair, at) => (at === place ? { ...pair, ...changed } : pair)));
  return html`<div class="field" role="group" aria-label=${label}>
    ${pairs.length > 0 && html`<span class="label-text">${label}</span>`}
    ${pairs.map(
      (pair, place) => html`<div class="pair-row" key=${place}>
        <input type="text" aria-label=${`Name of ${one} ${place + 1}`} placeholder="name" spellcheck=${false} autocomplete="off" value=${pair.name} aria-invalid=${message ? "true" : null} onInput=${(event) => change(place, { name: event.target.value })} />
        <input type="text" aria-label=${`Value of ${one} ${place + 1}`} placeholder="value" spellcheck=${false} autocomplete="off" value=${pair.value} aria-invalid=${message ? "true" : null} onInput=${(event) => change(place, { value: event.target.value })} />
        <button type="button" class="quiet" aria-label=${`Remove ${one} ${place + 1}`} onClick=${() => onChange(pairs.filter((_, at) => at !== place))}>×</button>
      </div>`,
    )}
    <button type="button" class="quiet small" onClick=${() => onChange([...pairs, { name: "", value: "" }])}>Add a ${one}</button>
    <p class="error" id=${`${name}-error`}>${message && html`<${Text} of=${message} />`}</p>
  </div>`;
}

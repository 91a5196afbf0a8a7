// An operation of the API: what it takes and answers, as code, and a form that sends it.

import { keyring, url, useAccess } from "./api.js";
import { duration, laidOut } from "./format.js";
import { LANGUAGES } from "./languages.js";
import { fieldsOf, limitWords, partsOf, requestOf, resolved, typeWords } from "./openapi.js";
import { useEffect, useState } from "./preact-hooks.js";
import { Block, Change, Copy, Headers, html } from "./ui.js";

// The most characters of an answer that are shown.
const MOST = 65_536;

/** A text of the document: what stands between backticks is code. */
export function Prose({ of }) {
  return of.split(/`([^`]+)`/).map((part, at) => (at % 2 ? html`<code>${part}</code>` : part));
}

/** Part of the page that is shown when it is opened, or when the address leads into it. */
export function Folded({ id = null, within = id, summary, show, isOpen = false, kind = "" }) {
  const leadsHere = () => `${location.hash}.`.startsWith(`#${within}.`);
  const [open, set] = useState(isOpen || leadsHere());
  useEffect(() => {
    const look = () => leadsHere() && set(true);
    addEventListener("hashchange", look);
    return () => removeEventListener("hashchange", look);
  }, []);
  return html`<details id=${id} class=${kind} open=${open} onToggle=${(event) => set(event.currentTarget.open)}>
    <summary>${summary}</summary>
    ${open && show()}
  </details>`;
}

/** A field or parameter: its name, its type, whether it must be given, and what it means. */
function Row({ id, name, schema, isRequired, document, children }) {
  const limits = limitWords(schema);
  const { description = "", default: byDefault } = schema;
  const told = byDefault !== undefined && byDefault !== null;
  return html`<li id=${id}>
    <p class="name">
      <code>${name}</code>
      <span class="note">${typeWords(document, schema)}${limits && `, ${limits}`}</span>
      ${isRequired && html`<span class="must">required</span>`}
    </p>
    <p>
      <${Prose} of=${description} />
      ${told && html` <span class="note">Default: <code>${JSON.stringify(byDefault)}</code></span>`}
      ${schema.readOnly && html` <span class="note">Only the value that it has is accepted.</span>`}
    </p>
    ${children}
  </li>`;
}

/** The fields of a value, and within them those of their values. */
function Fields({ of, id, document, first, isOfAnswer = false }) {
  const parts = partsOf(document, of, id);
  return parts.map(({ object, within }) => {
    const list = html`<ul class="rows">
      ${fieldsOf(document, object).map((field) => {
        const at = `${within}.${field.name}`;
        const inner = partsOf(document, field.schema, at);
        const isFirst = inner.some((each) => first.get(each.object.name) === each.within);
        const show = () =>
          html`<${Fields} of=${field.schema} id=${at} document=${document} first=${first} isOfAnswer=${isOfAnswer} />`;
        const summary = html`${inner.length > 1 ? "Kinds" : "Fields"} of <code>${field.name}</code>`;
        return html`<${Row} id=${at} document=${document} ...${field} isRequired=${field.isRequired && !isOfAnswer}>
          ${inner.length > 0 && html`<${Folded} within=${at} summary=${summary} isOpen=${isFirst && !isOfAnswer} show=${show} />`}
        <//>`;
      })}
    </ul>`;
    if (parts.length === 1) return list;
    return html`<div class="variant">
      ${object.description && html`<p class="note"><${Prose} of=${object.description} /></p>`}
      ${list}
    </div>`;
  });
}

const PLACES = { path: "Path", query: "Query", header: "Headers" };

function Parameters({ operation, document }) {
  return Object.entries(PLACES).map(([place, title]) => {
    const found = operation.parameters.filter((each) => each.in === place);
    return (
      found.length > 0 &&
      html`<h4>${title}</h4>
        <ul class="rows">
          ${found
            .sort((one, other) => Number(other.isRequired) - Number(one.isRequired))
            .map(
              ({ id, name, schema, isRequired }) =>
                html`<${Row} id=${id} document=${document} name=${name} schema=${schema} isRequired=${isRequired} />`,
            )}
        </ul>`
    );
  });
}

function Answers({ operation, document, first }) {
  return operation.answers.map(({ status, description, headers, schema, type }) => {
    const id = `${operation.id}.${status}`;
    const summary = html`<b>${status}</b> <${Prose} of=${description} />`;
    const isEmpty = !headers.length && !(schema && partsOf(document, schema, id).length);
    if (isEmpty) return html`<p id=${id} class="answered">${summary}</p>`;
    const show = () => html`
      ${
        headers.length > 0 &&
        html`<ul class="rows">
          ${headers.map(
            (header) => html`<li>
              <p class="name"><code>${header.name}</code> <span class="note">header</span></p>
              <p><${Prose} of=${header.description} /></p>
            </li>`,
          )}
        </ul>`
      }
      ${schema && type === "application/json" && html`<${Fields} of=${schema} id=${id} document=${document} first=${first} isOfAnswer />`}
    `;
    return html`<${Folded} id=${id} kind="answered" summary=${summary} show=${show} />`;
  });
}

/** Send a request by the key of this tab. Returns what is shown of the answer. */
async function send({ method, url: to, headers, body }) {
  const sent = { ...headers };
  const key = keyring.key();
  if (key) sent.Authorization = `Bearer ${key}`;
  if (body !== null) sent["Content-Type"] = "application/json";
  const began = performance.now();
  try {
    const options = { method, headers: sent, body, cache: "no-store", credentials: "omit" };
    const answer = await fetch(to, /** @type {RequestInit} */ (options));
    const text = await answer.text();
    const took = performance.now() - began;
    if (answer.status === 401) keyring.become("none");
    return { status: answer.status, headers: Object.fromEntries(answer.headers), text, took };
  } catch (error) {
    return { error: `It was not sent, or not answered: ${error.message}` };
  }
}

/** What was answered. */
function Got({ of }) {
  if (of.error) return html`<p class="failure" role="alert">${of.error}</p>`;
  const { status, headers, text, took } = of;
  const shown = laidOut(text) || text;
  return html`<div class="got" role="status">
      <p><b class=${status < 400 ? "is-good" : "is-bad"}>${status}</b> <span class="note">in ${duration(took)}</span></p>
    </div>
    ${text && html`<${Block} text=${shown.slice(0, MOST)} what="The answer" />`}
    ${shown.length > MOST && html`<p class="note">The first ${MOST} of ${shown.length} characters.</p>`}
    <details><summary>Headers</summary><${Headers} of=${headers} /></details>`;
}

/** An input for a parameter's value; one of few values is chosen. */
function Value({ id, of, schema, take }) {
  const give = (event) => take(event.currentTarget.value);
  if (schema.enum)
    return html`<select id=${id} value=${of} onChange=${give}>
      ${["", ...schema.enum].map((value) => html`<option>${value}</option>`)}
    </select>`;
  return html`<input type="text" id=${id} autocomplete="off" spellcheck=${false} value=${of} onInput=${give} />`;
}

/** The operation as code, with a form for its values, which sends it. */
function Sample({ operation, language, onLanguage, asksForKey, askForKey }) {
  const { id, parameters, examples, answers, body, scope } = operation;
  const [example, setExample] = useState(0);
  const [values, setValues] = useState(() =>
    Object.fromEntries(parameters.map((each) => [each.name, each.isRequired ? each.example : ""])),
  );
  const [text, setText] = useState(examples[0]?.text || "");
  const [isTried, setTried] = useState(false);
  const [isUnderWay, setUnderWay] = useState(false);
  const [got, setGot] = useState(/** @type {any} */ (null));
  const name = `${operation.method} ${operation.path}`;
  const request = requestOf(operation, values, text, url, asksForKey);
  const code = LANGUAGES[language](request);
  const access = useAccess();

  async function submit(event) {
    event.preventDefault();
    if (isUnderWay) return;
    setUnderWay(true);
    setGot(await send(request));
    setUnderWay(false);
  }

  function pick(at) {
    setExample(at);
    setText(examples[at].text);
  }

  const answer = answers[0];
  return html`<div class="sample">
    <div class="sample-head">
      <div class="choice" role="radiogroup" aria-label="Language">
        ${Object.keys(LANGUAGES).map(
          (each) => html`<label>
            <input type="radio" name=${`${id} language`} checked=${each === language} onChange=${() => onLanguage(each)} />
            <span>${each}</span>
          </label>`,
        )}
      </div>
      ${
        examples.length > 1 &&
        html`<select aria-label="Example" value=${example} onChange=${(event) => pick(Number(event.currentTarget.value))}>
          ${examples.map((each, at) => html`<option value=${at}>${each.name}</option>`)}
        </select>`
      }
      <${Copy} text=${code} what=${`${language} for ${name}`} />
    </div>
    <${Block} text=${code} what=${`${language} for ${name}`} copy=${false} />
    ${
      isTried
        ? html`<form class="try" onSubmit=${submit} aria-label=${`Try ${name}`}>
          ${parameters.map(
            ({ name, isRequired, schema }) => html`<div class="field">
              <label for=${`${id}-${name}`}>${name}${isRequired ? "" : ", optional"}</label>
              <${Value} id=${`${id}-${name}`} of=${values[name]} schema=${schema}
                take=${(value) => setValues((old) => ({ ...old, [name]: value }))} />
            </div>`,
          )}
          ${
            body &&
            html`<div class="field">
              <label for=${`${id}-body`}>Body</label>
              <textarea id=${`${id}-body`} rows=${Math.min(text.split("\n").length, 24)} spellcheck=${false} value=${text}
                onInput=${(event) => setText(event.currentTarget.value)}></textarea>
            </div>`
          }
          <p class="buttons">
            ${
              scope === "write"
                ? html`<${Change} type="submit" kind="primary" disabled=${isUnderWay}>Send<//>`
                : html`<button type="submit" class="primary" aria-disabled=${isUnderWay ? "true" : null}>Send</button>`
            }
            <button type="button" class="quiet" onClick=${() => setTried(false)}>Close</button>
            ${scope === "write" && html`<span class="note">This changes ${location.host}.</span>`}
          </p>
          ${scope && access === "none" && html`<p class="failure">This stage asks for a key. ${askForKey()}</p>`}
          ${got && html`<${Got} of=${got} />`}
        </form>`
        : html`<p class="buttons"><button type="button" onClick=${() => setTried(true)}>Try it</button></p>`
    }
    ${
      !got &&
      answer.example &&
      html`<div class="sample-head">
          <span class="note">Answer ${answer.status}</span>
          <${Copy} text=${answer.example} what=${`Answer ${answer.status} of ${name}`} />
        </div>
        <${Block} text=${answer.example} what=${`Answer ${answer.status} of ${name}`} copy=${false} />`
    }
  </div>`;
}

/** All of an operation. */
export function Operation({ operation, document, first, ...rest }) {
  const { id, method, path, summary, description, scope, body, errors } = operation;
  const schema = body && resolved(document, body);
  return html`<section id=${id} class="operation" data-part aria-labelledby=${`${id}-title`}>
    <div class="told">
      <h3 id=${`${id}-title`}><${Prose} of=${summary} /></h3>
      <p class="route"><a href=${`#${id}`}><b class=${method.toLowerCase()}>${method}</b> <code>${path}</code></a></p>
      ${description && html`<p><${Prose} of=${description} /></p>`}
      <p class="note">
        ${scope ? html`Needs a key with the scope <code>${scope}</code>.` : "Needs no key."}
      </p>
      <${Parameters} operation=${operation} document=${document} />
      ${
        schema &&
        html`<h4>Body</h4>
          ${schema.description && html`<p class="note"><${Prose} of=${schema.description} /></p>`}
          <${Fields} of=${body} id=${id} document=${document} first=${first} />`
      }
      <h4>Answers</h4>
      <${Answers} operation=${operation} document=${document} first=${first} />
      <p class="errors-of">
        <a href="#errors">Errors</a>${" "}
        ${errors.map((error) => html`<a href=${`#${error.id}`}>${error.status}</a> `)}
      </p>
    </div>
    <${Sample} operation=${operation} ...${rest} />
  </section>`;
}

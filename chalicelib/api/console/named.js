// What has a name and is put whole, such as a channel: its list, and its form, which overwrites
// nobody's change.

import {
  call,
  changedMeanwhile,
  filtersOf,
  get,
  Problem,
  path,
  to,
  useAnswer,
  useNow,
} from "./api.js";
import { Same } from "./form.js";
import { Line } from "./inputs.js";
import { useEffect, useState } from "./preact-hooks.js";
import {
  Change,
  ChangeLink,
  Confirm,
  EntryForm,
  Failure,
  focusWrong,
  Heading,
  html,
  Loading,
  Pages,
  Text,
  useAct,
} from "./ui.js";

/**
 * @typedef {object} Kind
 * @property {string} what its word: channel
 * @property {string} path where the API has the things: /notices
 * @property {string} screen the address of their list: #/channels
 * @property {string} names which names a thing may have
 * @property {string} [named] what the API calls the name in its path, if not name
 * @property {string[]} fields what shows its own errors; those of others stand above the buttons
 * @property {any} empty a new thing, as the API shows it
 * @property {(thing: any) => any} draft what the inputs hold of a thing
 * @property {(draft: any) => any} body what the API takes
 * @property {(draft: any) => {body: string, type: string, query: any} | null} [text] what is sent
 *   in its place, null for nothing
 */

/** Return the path of a thing. */
export function pathOfNamed(kind, name) {
  return `${kind.path}/${encodeURIComponent(name)}`;
}

function titleOf({ what }) {
  return `${what[0].toUpperCase()}${what.slice(1)}s`;
}

/**
 * List the things of a kind: `about` says what they are, `none` that there are none. `children`
 * makes the card of one, of it and the time.
 *
 * @param {{kind: Kind, query: URLSearchParams, every: number, about: string, none: string,
 *   children: (thing: any, now: number) => any}} props
 */
export function NamedList({ kind, query, every, about, none, children }) {
  const now = useNow();
  const filters = filtersOf(query, ["cursor"]);
  const question = path(kind.path, filters);
  const { data, error, at, isLoading } = useAnswer(question, (signal) => get(question, signal), {
    every,
  });
  const things = data?.data ?? [];
  const title = titleOf(kind);
  return html`
    <div class="title">
      <${Heading} title=${title} />
      <${ChangeLink} kind="primary" href=${`${kind.screen}/new`}>New ${kind.what}<//>
    </div>
    <p class="note">${about}</p>
    <${Failure} error=${error} stale=${at} now=${now} />
    ${isLoading && html`<${Loading} />`}
    ${data && !things.length && html`<p class="empty">${none}</p>`}
    ${things.length > 0 && html`<ul class="list cards ${title.toLowerCase()}">${things.map((thing) => children(thing, now))}</ul>`}
    <${Pages} of=${title.toLowerCase()} path=${kind.path} filters=${filters} next=${data?.next} />
  `;
}

/**
 * A thing in the list of its kind. `warning` says what it means to delete it; `more` are further
 * buttons, and `below` stands under them.
 */
export function Card({ kind, name, warning, children, more = null, below = null }) {
  const [isAsking, ask] = useState(false);
  const { act, refused } = useAct();
  const edit = to(`${kind.screen.slice(1)}/${encodeURIComponent(name)}/edit`);
  const shown = html`<${Text} of=${name} />`;
  async function remove() {
    await act(`The ${kind.what} was deleted.`, () => call("DELETE", pathOfNamed(kind, name)));
    ask(false);
  }
  return html`<li data-row>
    <h2><a data-main href=${edit}>${shown}</a></h2>
    ${children}
    <p class="buttons">
      ${more}
      <${ChangeLink} kind="small" label=${`Edit ${name}`} href=${edit}>Edit<//>
      <${Change} kind="small danger" label=${`Delete ${name}…`} onClick=${() => ask(true)}>Delete…<//>
    </p>
    ${below}
    <${Failure} error=${refused} />
    ${
      isAsking &&
      html`<${Confirm} title=${`Delete this ${kind.what}?`} action=${html`<span>Delete ${shown}</span>`} onClose=${() => ask(false)} onConfirm=${remove}>
      <p>${warning}</p>
    <//>`
    }
  </li>`;
}

/** Return the thing with this name, null if there is none. Raises Problem. */
async function current(kind, name) {
  try {
    return (await get(pathOfNamed(kind, name))).data;
  } catch (problem) {
    if (problem.status === 404) return null;
    throw problem;
  }
}

/**
 * Make a thing, or change the one with this name. `children` makes the fields, beside the name, of
 * `draft`, `set`, `errors` and `line`, which makes a line of text.
 *
 * @param {{kind: Kind, name?: string, children: (place: any) => any}} props
 */
export function NamedForm({ kind, name = "", children }) {
  const [old, setOld] = useState(/** @type {any} */ (name ? undefined : kind.empty));
  const [error, setError] = useState(null);
  useEffect(() => {
    if (name) current(kind, name).then(setOld, setError);
  }, []);
  const lost = old === null ? { message: `There is no such ${kind.what}.` } : error;
  return html`
    <p class="crumbs"><a href=${kind.screen}>${titleOf(kind)}</a></p>
    <${Heading} title=${name ? `Edit the ${kind.what} ${name}` : `New ${kind.what}`} />
    <${Failure} error=${lost} />
    ${old === undefined && !error && html`<${Loading} />`}
    ${old && html`<${Fields} kind=${kind} old=${old} isNew=${!name} children=${children} />`}
  `;
}

function Fields({ kind, old, isNew, children }) {
  const [name, setName] = useState(old.name ?? "");
  const [draft, setDraft] = useState(() => kind.draft(old));
  // The thing that is replaced: as it was shown, or as somebody else saved it, once that was told.
  const [base, setBase] = useState(old);
  const { act, refused, isUnderWay } = useAct();
  const errors = refused?.errors ?? [];
  const named = kind.named ?? "name";
  const isElsewhere = !errors.every(({ field }) =>
    [named, ...kind.fields].some((each) => field === each || field.startsWith(`${each}.`)),
  );
  const newer = refused?.newer;
  const set = (changed) => setDraft((before) => ({ ...before, ...changed }));
  const line = (label, field, more = {}) =>
    html`<${Line} label=${label} field=${field} errors=${errors} value=${draft[field]} ...${more} onChange=${(text) => set({ [field]: text })} />`;
  const body = kind.body(draft);
  const text = kind.text?.(draft);

  async function save() {
    // A PUT replaces all of it, and takes no ETag.
    const present = await current(kind, name);
    if (present && present.updated_at !== base.updated_at) {
      setBase(present);
      if (!base.updated_at)
        throw new Problem(412, `There is a ${kind.what} with this name.`, [], present);
      const [is, was] = [present, base].map((thing) => kind.body(kind.draft(thing)));
      const differs = (field) => JSON.stringify(is[field]) !== JSON.stringify(was[field]);
      throw changedMeanwhile(Object.keys({ ...is, ...was }).filter(differs), present);
    }
    const sent = text ?? { body: JSON.stringify(body), query: {} };
    await call("PUT", path(pathOfNamed(kind, name), sent.query), sent);
    location.hash = kind.screen;
  }
  async function submit(event) {
    event.preventDefault();
    if (isUnderWay || !name) return;
    await act(`The ${kind.what} was saved.`, save);
    focusWrong();
  }
  return html`<${EntryForm} onSubmit=${submit}>
    <div>
      ${isNew && html`<${Line} label="Name" field=${named} errors=${errors} value=${name} onChange=${setName} note=${`${kind.names} It cannot be changed.`} />`}
      ${children({ draft, set, errors, line })}
      ${(text || isElsewhere || !errors.length) && html`<${Failure} error=${refused} />`}
      <div class="buttons">
        <${Change} type="submit" kind="primary" disabled=${isUnderWay || !name}>${newer ? "Save mine over theirs" : `Save ${kind.what}`}<//>
        ${newer && html`<button type="button" onClick=${() => act("", async () => setDraft(kind.draft(newer)))}>Drop mine and show theirs</button>`}
        <a class="button" href=${kind.screen}>Cancel</a>
      </div>
    </div>
    ${!text && html`<${Same} body=${body} method="PUT" path=${pathOfNamed(kind, name || "name")} />`}
  <//>`;
}

// The frame of the console: its head, its screens by their addresses, the keyboard, and the key.

import { find, get, keyring, to, useAccess, useAddress, useAnswer } from "./api.js";
import { CalendarForm, Calendars } from "./calendars.js";
import { ChannelForm, Channels, Notices } from "./channels.js";
import { FlowForm, Flows } from "./flows.js";
import { Form } from "./form.js";
import { JobScreen } from "./job.js";
import { Jobs } from "./jobs.js";
import { Overview } from "./overview.js";
import { render } from "./preact.js";
import { useEffect, useRef, useState } from "./preact-hooks.js";
import { Runs } from "./runs.js";
import { Secrets } from "./secrets.js";
import { ThemeSwitch } from "./theme-switch.js";
import { Dialog, focusHeading, Heading, html, Said, WHY_NOT } from "./ui.js";

// What a key may do, by its scope.
const MAY = { read: "read", write: "read and write" };
const KEYS = [
  ["g then o", "Overview"],
  ["g then j", "Jobs"],
  ["g then r", "Runs of all jobs"],
  ["g then c", "Channels"],
  ["g then a", "Calendars"],
  ["g then f", "Flows"],
  ["g then s", "Secrets and signing"],
  ["n", "New job"],
  ["/", "Search the jobs"],
  ["j, k", "Next and previous row of a list"],
  ["x", "Select the row, in the lists of jobs and runs"],
  ["Enter", "Open the row"],
  ["Ctrl Enter", "Save, in a form"],
  ["Esc", "Close what is open"],
  ["?", "This list"],
];

function Keys({ onClose }) {
  return html`<${Dialog} title="Keyboard" onClose=${onClose}>
    <dl class="keys">
      ${KEYS.map(([key, what]) => html`<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`)}
    </dl>
    <p class="buttons"><button type="button" onClick=${onClose}>Close</button></p>
  <//>`;
}

/** Move the focus by one row of the list. */
function step(by) {
  const rows = [...document.querySelectorAll("[data-row]")];
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const next =
    rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1)];
  if (next) find("[data-main]", next)?.focus();
}

function useKeyboard(show) {
  const before = useRef("");
  useEffect(() => {
    function press(event) {
      const isText =
        /^(input|textarea|select)$/i.test(event.target.tagName) && event.target.type !== "checkbox";
      if (event.ctrlKey || event.metaKey || event.altKey || isText) return;
      if (document.querySelector("dialog[open]")) return;
      const row = document.activeElement?.closest?.("[data-row]");
      const does = {
        "?": () => show(true),
        n: () => go("/jobs/new"),
        j: () => (before.current === "g" ? go("/jobs") : step(1)),
        k: () => step(-1),
        o: () => before.current === "g" && go("/"),
        a: () => before.current === "g" && go("/calendars"),
        f: () => before.current === "g" && go("/flows"),
        c: () => before.current === "g" && go("/channels"),
        r: () => before.current === "g" && go("/runs"),
        s: () => before.current === "g" && go("/secrets"),
        x: () => row && find("input[type=checkbox]", row)?.click(),
        "/": () => {
          const search = find("input[type=search]");
          if (search) search.focus();
          else go("/jobs");
        },
      };
      const act = does[event.key];
      if (act) {
        event.preventDefault();
        act();
      }
      before.current = event.key;
    }
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}

function go(path) {
  location.hash = to(path);
}

function Screen({ path, query }) {
  const parts = path.split("/").filter(Boolean).map(decode);
  const [first, id, rest, run] = parts;
  if (parts.length === 0) return html`<${Overview} query=${query} />`;
  if (first === "runs") return html`<${Runs} query=${query} />`;
  if (first === "secrets") return html`<${Secrets} query=${query} />`;
  if (first === "channels" && parts.length === 1) return html`<${Channels} />`;
  if (first === "channels" && id === "new" && !rest) return html`<${ChannelForm} key="new" />`;
  if (first === "channels" && rest === "edit") return html`<${ChannelForm} key=${id} name=${id} />`;
  if (first === "calendars" && parts.length === 1) return html`<${Calendars} query=${query} />`;
  if (first === "calendars" && id === "new") return html`<${CalendarForm} key="new" />`;
  if (first === "calendars") return html`<${CalendarForm} key=${id} name=${id} />`;
  if (first === "flows" && parts.length === 1) return html`<${Flows} query=${query} />`;
  if (first === "flows" && id === "new") return html`<${FlowForm} key="new" />`;
  if (first === "flows") return html`<${FlowForm} key=${id} name=${id} />`;
  if (first === "notices" && parts.length === 1) return html`<${Notices} query=${query} />`;
  if (first === "notices")
    return html`<${JobScreen} key=${id} id=${id} run=${run} query=${query} isNotice=${true} />`;
  if (first === "key") return html`<${KeyScreen} />`;
  if (first !== "jobs") return html`<${Lost} />`;
  if (parts.length === 1) return html`<${Jobs} query=${query} />`;
  if (id === "new")
    return html`<${Form} key=${`new ${query}`} from=${query.get("from")} isFirst=${query.has("first")} />`;
  if (rest === "edit") return html`<${Form} key=${`edit ${id}`} id=${id} />`;
  return html`<${JobScreen} key=${id} id=${id} run=${rest === "runs" ? run : null} query=${query} />`;
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function Lost() {
  return html`<${Heading} title="There is no such page" />
    <p>Go to the <a href="#/">overview</a> or the <a href="#/jobs">jobs</a>.</p>`;
}

/** Ask for a key, or show what the key of this tab may do. */
function KeyScreen() {
  const access = useAccess();
  // Only an answer tells whether a key is asked for at all.
  const { data } = useAnswer(`key ${access}`, (signal) => get("/jobs?limit=1", signal), {
    once: true,
  });
  const [text, set] = useState("");
  const [error, setError] = useState("");
  const [isUnderWay, setUnderWay] = useState(false);

  async function submit(event) {
    event.preventDefault();
    setUnderWay(true);
    try {
      await keyring.take(text.trim());
      setError("");
      set("");
      if (location.hash === "#/key") location.hash = "#/";
    } catch (problem) {
      const isWrong = problem.status === 401;
      setError(
        isWrong
          ? "This key opens nothing here: it is mistyped, revoked, expired or of another stage."
          : problem.message,
      );
    }
    setUnderWay(false);
  }

  if (access === "open" && data) {
    return html`<div class="narrow">
      <${Heading} title="No key is asked for here" />
      <p>Whoever reaches this address can use it. <a href="#/">Overview</a></p>
    </div>`;
  }
  return html`<div class="narrow">
    <${Heading} title=${keyring.key() ? "The key of this tab" : "This stage asks for a key"} />
    ${
      keyring.key() && access !== "none"
        ? html`<p>
          The key in use may ${MAY[access] || "read"}.
          <button type="button" onClick=${() => keyring.forget()}>Forget it</button>
        </p>`
        : html`<p>
          A key begins with <code>rsn_</code>. Whoever operates the stage creates one:
          <code class="command">.venv/bin/python -m infra.keys create --stage dev --tenant me</code>
        </p>`
    }
    <form onSubmit=${submit}>
      <label for="key">Key</label>
      <input
        id="key"
        type="password"
        autocomplete="off"
        spellcheck=${false}
        placeholder="rsn_…"
        value=${text}
        aria-invalid=${error ? "true" : null}
        aria-describedby="key-error key-note"
        onInput=${(event) => set(event.target.value)}
      />
      <p class="error" id="key-error" role="alert">${error}</p>
      <p class="note" id="key-note">
        It is kept in this tab until the tab is closed, and sent to this stage alone.
      </p>
      <p class="buttons"><button class="primary" aria-disabled=${!text || isUnderWay ? "true" : null}>Use this key</button></p>
    </form>
  </div>`;
}

function App() {
  const { path, query } = useAddress();
  const access = useAccess();
  const [keys, showKeys] = useState(false);
  const screen = path.split("/").slice(0, 4).join("/");
  const isFirst = useRef(true);
  useKeyboard(showKeys);
  useEffect(() => {
    if (isFirst.current) isFirst.current = false;
    else focusHeading();
    // On a phone the screens' names do not fit into one line.
    find("nav [aria-current=page]")?.scrollIntoView({ inline: "nearest" });
    scrollTo(0, 0);
  }, [screen]);
  const isKey = access === "none" || path === "/key";
  const here = (prefix) =>
    !isKey && (prefix === "/" ? path === "/" : path.startsWith(prefix)) ? "page" : null;
  return html`
    <a class="skip" href="#main" onClick=${(event) => {
      event.preventDefault();
      focusHeading();
    }}>To the content</a>
    <header>
      <a class="brand" href="#/"><svg viewBox="0 0 16 16" aria-hidden="true"><circle cx="8" cy="8" r="6.5" /><path
        d="M8 4.5V8l2.5 1.8" /></svg>Resona</a>
      <nav aria-label="Screens">
        <a href="#/" aria-current=${here("/")}>Overview</a>
        <a href="#/jobs" aria-current=${path === "/jobs/new" ? null : here("/jobs")}>Jobs</a>
        <a href="#/runs" aria-current=${here("/runs")}>Runs</a>
        <a href="#/channels" aria-current=${here("/channels") || here("/notices")}>Channels</a>
        <a href="#/calendars" aria-current=${here("/calendars")}>Calendars</a>
        <a href="#/flows" aria-current=${here("/flows")}>Flows</a>
        <a href="#/secrets" aria-current=${here("/secrets")}>Secrets</a>
        <a class="wide-only" href="#/jobs/new" aria-current=${path === "/jobs/new" ? here("/jobs") : null}>New job</a>
      </nav>
      <span class="grow"></span>
      ${keyring.key() && html`<a class="key" href="#/key">${access === "read" ? "Read-only key" : "Key"}</a>`}
      <a class="docs" href="docs">API</a>
      <button type="button" class="quiet icon wide-only" onClick=${() => showKeys(true)} aria-label="Keyboard" title="Keyboard: ?">?</button>
      <${ThemeSwitch} />
    </header>
    ${access === "read" && !isKey && html`<p class="banner">${WHY_NOT} <a href="#/key">Change the key</a></p>`}
    <main id="main">${isKey ? html`<${KeyScreen} />` : html`<${Screen} path=${path} query=${query} />`}</main>
    <${Said} />
    ${keys && html`<${Keys} onClose=${() => showKeys(false)} />`}
  `;
}

if (keyring.key()) keyring.check().catch(() => undefined);
render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById("app")));

// The page of the API: the OpenAPI document to read, to search and to try.

import { get, keep, kept, keyring, url, useAccess, useAnswer } from "./api.js";
import { LANGUAGES } from "./languages.js";
import { firstOf, indexOf, refusalsOf, tagsOf } from "./openapi.js";
import { Folded, Operation, Prose } from "./operation.js";
import { render } from "./preact.js";
import { useEffect, useMemo, useReducer, useRef, useState } from "./preact-hooks.js";
import { ThemeSwitch } from "./theme-switch.js";
import { Block, Failure, html, Loading } from "./ui.js";

const MAY = { read: "read", write: "read and write" };
const IS_LAPTOP = /^(localhost|127\.|\[::1\])/.test(location.hostname);
const MOST_FOUND = 30;

/** Draw anew when the address changes, and then go to what it names: it may have been folded. */
function useHash() {
  const [, draw] = useReducer((count) => count + 1, 0);
  useEffect(() => {
    addEventListener("hashchange", draw);
    return () => removeEventListener("hashchange", draw);
  }, []);
  useEffect(() => {
    document.getElementById(location.hash.slice(1))?.scrollIntoView();
  }, [location.hash]);
}

/** Return the id of the part that is read now. */
function useCurrent() {
  const [current, set] = useState("");
  useEffect(() => {
    const seen = (entries) => {
      const entered = entries.filter((entry) => entry.isIntersecting);
      if (entered.length) set(entered[entered.length - 1].target.id);
    };
    const observer = new IntersectionObserver(seen, { rootMargin: "-15% 0px -80% 0px" });
    for (const part of document.querySelectorAll("[data-part]")) observer.observe(part);
    return () => observer.disconnect();
  }, []);
  return current;
}

function Found({ entries, query }) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const found = entries.filter((entry) => words.every((word) => entry.words.includes(word)));
  if (!found.length) return html`<p class="note" role="status">Nothing has these words.</p>`;
  return html`<ul class="found">
    ${found
      .slice(0, MOST_FOUND)
      .map(
        ({ href, name, where }) =>
          html`<li><a href=${href}><span>${name}</span> <small>${where}</small></a></li>`,
      )}
  </ul>`;
}

function Contents({ tags, entries, current, isOpen, close }) {
  const [query, set] = useState("");
  const nav = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    // On a wide screen the contents follow what is read.
    const link = /** @type {HTMLElement | null} */ (nav.current?.querySelector("[aria-current]"));
    const frame = nav.current;
    if (!link || !frame) return;
    const at = link.offsetTop - frame.scrollTop;
    if (at < 80 || at > frame.clientHeight - 60) frame.scrollTop = link.offsetTop - 160;
  }, [current]);
  const go = (event) => {
    event.preventDefault();
    /** @type {HTMLElement | null} */ (nav.current?.querySelector(".found a"))?.click();
  };
  const here = (id) => (id === current ? "true" : null);
  return html`<nav id="contents" class=${isOpen ? "contents is-open" : "contents"} aria-label="Contents" ref=${nav}
    onClick=${(event) => event.target.closest("a") && close()}>
    <form role="search" onSubmit=${go}>
      <input type="search" aria-label="Search the API" placeholder="Search: press /" value=${query}
        onInput=${(event) => set(event.currentTarget.value)} />
    </form>
    ${
      query.trim()
        ? html`<${Found} entries=${entries} query=${query} />`
        : html`<ul>
          <li><a href="#start" aria-current=${here("start")}>Start</a></li>
          <li><a href="#authentication" aria-current=${here("authentication")}>Authentication</a></li>
          <li><a href="#errors" aria-current=${here("errors")}>Errors</a></li>
          ${tags.map(
            (tag) => html`<li>
              <h2>${tag.name}</h2>
              <ul>
                ${tag.operations.map(
                  ({ id, method, path, summary }) =>
                    html`<li><a href=${`#${id}`} title=${summary} aria-current=${here(id)}><b class=${method.toLowerCase()}>${method}</b> <span>${path}</span></a></li>`,
                )}
              </ul>
            </li>`,
          )}
        </ul>`
    }
  </nav>`;
}

/** What the key of this tab may do, and a field for one. */
function Key({ asksForKey }) {
  const access = useAccess();
  const [text, set] = useState("");
  const [error, setError] = useState("");
  async function submit(event) {
    event.preventDefault();
    try {
      await keyring.take(text.trim());
      setError("");
      set("");
    } catch (problem) {
      setError(
        problem.status === 401
          ? "This key opens nothing here: it is mistyped, revoked, expired or of another stage."
          : problem.message,
      );
    }
  }
  if (!asksForKey) return html`<p>This Resona asks for no key: it runs on a laptop.</p>`;
  if (keyring.key() && access !== "none")
    return html`<p>
      “Try it” uses the key of this tab, which may ${MAY[access] || "read"}.
      ${" "}<button type="button" class="small" onClick=${() => keyring.forget()}>Forget it</button>
    </p>`;
  return html`<form class="key-form" onSubmit=${submit}>
    <label for="key">Key for “Try it”</label>
    <p class="buttons">
      <input id="key" type="password" autocomplete="off" spellcheck=${false} placeholder="rsn_…" value=${text}
        aria-invalid=${error ? "true" : null} aria-describedby="key-error key-note" onInput=${(event) => set(event.currentTarget.value)} />
      <button aria-disabled=${text ? null : "true"}>Use this key</button>
    </p>
    <p class="error" id="key-error" role="alert">${error}</p>
    <p class="note" id="key-note">It is kept in this tab until the tab is closed, and sent to this stage alone. The console uses the same one.</p>
  </form>`;
}

function Errors({ refusals }) {
  return html`<section id="errors" data-part>
    <h2>Errors</h2>
    <p>Every error is a problem document (RFC 9457). Under each route are the statuses that it may answer.</p>
    <ul class="rows">
      ${refusals.map(
        ({ id, status, title, description, headers, example }) => html`<li>
          <${Folded} id=${id} summary=${html`<b>${status}</b> ${title}`} show=${() => html`<${Block} text=${example} what=${`Example of ${status}`} />`} />
          <p>
            <${Prose} of=${description} />
            ${headers.length > 0 && html` <span class="note">Headers: ${headers.map((name, at) => html`${at > 0 && ", "}<code>${name}</code>`)}</span>`}
          </p>
        </li>`,
      )}
    </ul>
  </section>`;
}

/** The API, once its document is there. */
function Api({ of, isOpen, close }) {
  const tags = useMemo(() => tagsOf(of), [of]);
  const entries = useMemo(() => indexOf(of, tags), [of]);
  const first = useMemo(
    () =>
      firstOf(
        of,
        tags.flatMap((tag) => tag.operations),
      ),
    [of],
  );
  const access = useAccess();
  const [language, set] = useState(kept("localStorage", "resona.language") || "curl");
  const current = useCurrent();
  useHash();
  const asksForKey = access !== "open" || !IS_LAPTOP;
  const base = url("/").replace(/\/$/, "");
  const shared = {
    document: of,
    first,
    language: language in LANGUAGES ? language : "curl",
    asksForKey,
    onLanguage: (name) => {
      keep("localStorage", "resona.language", name);
      set(name);
    },
    askForKey: () => html`<a href="#authentication">Give one</a>`,
  };
  return html`<div class="docs">
    <${Contents} tags=${tags} entries=${entries} current=${current} isOpen=${isOpen} close=${close} />
    <main id="main">
      <section id="start" data-part>
        <h1 tabindex="-1">${of.info.title} API <small class="note">${of.info.version}</small></h1>
        ${of.info.description.split("\n\n").map((text) => html`<p><${Prose} of=${text} /></p>`)}
        <p>The routes are below this URL. For programs: <a href="openapi.json">openapi.json</a>, OpenAPI 3.1.</p>
        <${Block} text=${base} what="The URL of the API" />
      </section>
      <section id="authentication" data-part>
        <h2>Authentication</h2>
        <p><${Prose} of=${of.components.securitySchemes.key.description} /></p>
        <${Block} text="Authorization: Bearer rsn_…" what="The header with the key" copy=${false} />
        <${Key} asksForKey=${asksForKey} />
      </section>
      <${Errors} refusals=${refusalsOf(of)} />
      ${tags.map(
        (tag) => html`<h2 class="tag" id=${`tag-${tag.name}`}>${tag.name}</h2>
          <p class="note">${tag.description}</p>
          ${tag.operations.map((operation) => html`<${Operation} key=${operation.id} operation=${operation} ...${shared} />`)}`,
      )}
    </main>
  </div>`;
}

function App() {
  const { data, error, isLoading } = useAnswer(
    "openapi",
    (signal) => get("/openapi.json", signal),
    {
      once: true,
    },
  );
  const [isOpen, show] = useState(false);
  useEffect(() => {
    function press(event) {
      const isText = /^(input|textarea|select)$/i.test(event.target.tagName);
      if (event.key === "Escape") show(false);
      if (event.key !== "/" || isText || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      show(true);
      requestAnimationFrame(() => {
        /** @type {HTMLElement | null} */ (document.querySelector("input[type=search]"))?.focus();
      });
    }
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
  return html`
    <a class="skip" href="#start">To the content</a>
    <header class="docs-header">
      <a class="brand" href="console"><svg viewBox="0 0 16 16" aria-hidden="true"><circle cx="8" cy="8" r="6.5" /><path
        d="M8 4.5V8l2.5 1.8" /></svg>Resona</a>
      <nav aria-label="Pages">
        <a href="console">Console</a>
        <a href="docs" aria-current="page">API</a>
      </nav>
      <span class="grow"></span>
      <button type="button" class="contents-button" aria-expanded=${isOpen ? "true" : "false"} aria-controls="contents" onClick=${() => show(!isOpen)}>Contents</button>
      <${ThemeSwitch} />
    </header>
    ${
      data
        ? html`<${Api} of=${/** @type {any} */ (data).data} isOpen=${isOpen} close=${() => show(false)} />`
        : html`<main>
          <h1>Resona API</h1>
          ${isLoading && html`<${Loading} rows=${8} />`}
          <${Failure} error=${error} />
        </main>`
    }
  `;
}

if (keyring.key()) keyring.check().catch(() => undefined);
render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById("app")));

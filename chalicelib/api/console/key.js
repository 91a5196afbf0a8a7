// The screen that asks for a key.

import { get, keyring } from "./api.js";
import { useState } from "./preact-hooks.js";
import { useAccess, useAnswer } from "./state.js";
import { Heading, html } from "./ui.js";

const MAY = { read: "read", write: "read and write" };

/** Ask for a key, or show what the key of this tab may do. */
export function KeyScreen() {
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

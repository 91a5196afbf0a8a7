// The switch between the system's theme, the light and the dark one.

import { keep, kept } from "./api.js";
import { useState } from "./preact-hooks.js";
import { html } from "./ui.js";

const THEMES = { system: "System theme", light: "Light theme", dark: "Dark theme" };
const ICONS = {
  system: html`<circle cx="8" cy="8" r="6" /><path class="full" d="M8 2a6 6 0 010 12z" />`,
  light: html`<circle cx="8" cy="8" r="3" /><path
      d="M8 1v1.6M8 13.4V15M1 8h1.6M13.4 8H15M3 3l1.2 1.2M11.8 11.8L13 13M13 3l-1.2 1.2M4.2 11.8L3 13"
    />`,
  dark: html`<path d="M13.5 9.8A6 6 0 016.2 2.5a6 6 0 107.3 7.3z" />`,
};

/** A button that shows the theme and turns to the next. */
export function ThemeSwitch() {
  const [theme, set] = useState(kept("localStorage", "resona.theme") || "system");
  const names = Object.keys(THEMES);
  function turn() {
    const next = names[(names.indexOf(theme) + 1) % names.length];
    keep("localStorage", "resona.theme", next === "system" ? null : next);
    if (next === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    set(next);
  }
  const label = `${THEMES[theme]}; switch`;
  return html`<button type="button" class="quiet icon" onClick=${turn} aria-label=${label} title=${label}>
    <svg viewBox="0 0 16 16" aria-hidden="true">${ICONS[theme]}</svg>
  </button>`;
}

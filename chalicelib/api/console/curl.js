// Requests as curl commands, and curl commands as requests. Pure functions.

import { parse } from "./format.js";
import { shellWords } from "./shell.js";

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Return the body that Resona sends; null if there is none. */
export function bodyOf({ body }) {
  if (body === null || body === undefined) return null;
  return typeof body === "string" ? body : JSON.stringify(body);
}

/** Return a curl command for a request, with more of its arguments at the end. */
export function curl(request, more = []) {
  const { url, method, headers, body } = request;
  const lines = [`curl -sS -X ${method} ${quoted(url)}`];
  const named = Object.keys(headers).some((name) => name.toLowerCase() === "content-type");
  const sent = bodyOf(request);
  if (sent !== null && typeof body !== "string" && !named) {
    lines.push("-H 'Content-Type: application/json'");
  }
  for (const [name, value] of Object.entries(headers)) {
    lines.push(`-H ${quoted(`${name}: ${value}`)}`);
  }
  if (sent !== null) lines.push(`--data-raw ${quoted(sent)}`);
  return [...lines, ...more].join(" \\\n  ");
}

// The options that say what is sent, by their short and long names.
const MEANT = {
  "-X": "method",
  "--request": "method",
  "-H": "header",
  "--header": "header",
  "-d": "data",
  "--data": "data",
  "--data-ascii": "data",
  "--data-binary": "data",
  "--data-raw": "raw",
  "--data-urlencode": "encoded",
  "--json": "json",
  "-u": "user",
  "--user": "user",
  "--oauth2-bearer": "bearer",
  "-A": "agent",
  "--user-agent": "agent",
  "-e": "referer",
  "--referer": "referer",
  "-b": "cookie",
  "--cookie": "cookie",
  "-m": "seconds",
  "--max-time": "seconds",
  "--retry": "retries",
  "--url": "url",
};
const SWITCHES = { "-G": "get", "--get": "get", "-I": "head", "--head": "head" };
// They say what curl shows or keeps, not what it sends.
const SHOWS = new Set(
  (
    "-s --silent -S --show-error -i --include --show-headers -v --verbose -f --fail " +
    "--fail-with-body --fail-early -# --progress-bar --no-progress-meter --compressed -N " +
    "--no-buffer -g --globoff -O --remote-name -J --remote-header-name -q --disable --raw --basic"
  ).split(" "),
);
const SHOWS_BY = new Set("-o --output -w --write-out -D --dump-header --stderr --trace".split(" "));
// What follows these is their value; else it would be taken for a URL.
const VALUED = new Set(
  (
    "-F --form --form-string -T --upload-file -x --proxy -U --proxy-user --proxy-header -E --cert " +
    "--key --cacert --capath --cert-type --key-type --pass --ciphers --resolve --connect-to " +
    "--connect-timeout --retry-delay --retry-max-time --limit-rate --max-filesize --max-redirs " +
    "--interface --dns-servers -c --cookie-jar -K --config -r --range -C --continue-at -Y " +
    "--speed-limit -y --speed-time -z --time-cond --aws-sigv4 --unix-socket --noproxy --socks5 " +
    "--socks5-hostname --request-target --tls-max --netrc-file --variable --expand-url " +
    "--expand-header --expand-data --hsts --alt-svc --local-port -t --telnet-option -P --ftp-port"
  ).split(" "),
);
const WHY = {
  "-L": "Resona follows no redirects",
  "--location": "Resona follows no redirects",
  "-k": "Resona always verifies certificates",
  "--insecure": "Resona always verifies certificates",
  "-F": "write the form's body yourself",
  "--form": "write the form's body yourself",
  "-T": "Resona reads no files",
  "--upload-file": "Resona reads no files",
};

/**
 * Read a curl command: the fields of a draft that it says, and what of it was left out, in words.
 *
 * @param {string} text
 * @returns {{fields: Record<string, any> | null, notes: string[]}} without fields it is no command
 */
export function readCurl(text) {
  const { words, notes } = shellWords(text);
  const start = words.findIndex((word) => /(^|\/)curl(\.exe)?$/i.test(word));
  if (start < 0) {
    return {
      fields: null,
      notes: ["This is no curl command: it should begin with curl.", ...notes],
    };
  }
  if (/^\s*curl\S*\s+\^"/i.test(text)) {
    notes.push(
      "It looks like a command for cmd.exe: copy it for bash, whose quotes are read here.",
    );
  }
  for (const word of words.slice(0, start)) notes.push(`Left out, before curl: ${word}`);
  const found = optionsOf(words.slice(start + 1), notes);
  return { fields: fieldsOf(found, notes), notes };
}

/** Return what each option was given, by what it means. */
function optionsOf(words, notes) {
  /** @type {Record<string, any[]>} */
  const found = { url: [], header: [], body: [] };
  const rest = [...words];
  const take = (meaning, value) => {
    if (["data", "raw", "encoded", "json"].includes(meaning)) found.body.push({ meaning, value });
    else found[meaning] = [...(found[meaning] ?? []), value];
  };
  const option = (name, own) => {
    const value = () => own ?? rest.shift() ?? "";
    if (MEANT[name]) take(MEANT[name], value());
    else if (SWITCHES[name]) take(SWITCHES[name], true);
    else if (SHOWS_BY.has(name)) value();
    else if (!SHOWS.has(name)) {
      const shown = VALUED.has(name) ? `${name} ${value()}` : name;
      notes.push(`Left out: ${shown}${WHY[name] ? ` (${WHY[name]})` : ""}`);
    }
  };
  while (rest.length) {
    const word = /** @type {string} */ (rest.shift());
    if (word === "--next" || word === "-:") {
      notes.push(`Left out, another request: ${rest.splice(0).join(" ")}`);
    } else if (word.startsWith("--")) option(word);
    else if (word.startsWith("-") && word !== "-") short(word.slice(1), option);
    else take("url", word);
  }
  return found;
}

/** Read options of one letter, written together: -sSXPOST. */
function short(letters, option) {
  for (let at = 0; at < letters.length; at += 1) {
    const name = `-${letters[at]}`;
    const own = letters.slice(at + 1);
    if (MEANT[name] || SHOWS_BY.has(name) || VALUED.has(name)) {
      option(name, own || undefined);
      return;
    }
    option(name);
  }
}

function fieldsOf(found, notes) {
  const headers = headersOf(found, notes);
  const body = bodyFrom(found.body, notes);
  const type = headers.find(({ name }) => name.toLowerCase() === "content-type")?.value;
  let url = urlOf(found.url, notes);
  let sent = body;
  if (found.get && body !== null) {
    url = `${url}${url.includes("?") ? "&" : "?"}${body}`;
    sent = null;
  }
  const usual = found.head ? "HEAD" : sent === null ? "GET" : "POST";
  const isJson = sent !== null && /json/i.test(type ?? "") && isObject(sent);
  if (sent !== null && type === undefined) {
    headers.push({ name: "Content-Type", value: "application/x-www-form-urlencoded" });
  }
  return {
    url,
    method: (found.method?.at(-1) ?? usual).toUpperCase(),
    headers,
    bodyKind: sent === null ? "none" : isJson ? "json" : "text",
    body: sent ?? "",
    ...numberOf(found.seconds, "timeout", (seconds) => seconds),
    ...numberOf(found.retries, "max_attempts", (count) => count + 1),
  };
}

function numberOf(given, field, meaning) {
  if (!given) return {};
  const [text] = given.slice(-1);
  return { [field]: Number.isFinite(Number(text)) ? String(meaning(Number(text))) : text };
}

// A string or null would be another body in Resona's JSON: these are sent as text.
function isObject(text) {
  try {
    const value = parse(text);
    return value !== null && typeof value !== "string";
  } catch {
    return false;
  }
}

function urlOf(urls, notes) {
  for (const each of urls.slice(1)) notes.push(`Left out, a second URL: ${each}`);
  const url = urls[0] ?? "";
  if (!url) notes.push("It names no URL.");
  if (!url || /^[a-z][a-z0-9+.-]*:\/\//i.test(url)) return url;
  notes.push("The URL has no scheme; curl takes http://");
  return `http://${url}`;
}

function headersOf(found, notes) {
  const headers = [];
  const set = (name, value) => headers.push({ name, value });
  for (const text of found.header) {
    const [, name, sign, value] = /^([^:;]+)([:;])\s*(.*)$/s.exec(text) ?? [];
    if (text.startsWith("@")) notes.push(`Left out: the headers of the file ${text.slice(1)}`);
    else if (name && (value || sign === ";")) set(name.trim(), value.trim());
    else notes.push(`Left out: the header ${text} (curl sends none without a value)`);
  }
  const named = (name) => headers.some((header) => header.name.toLowerCase() === name);
  const unless = (name, value) => !named(name.toLowerCase()) && set(name, value);
  if (found.user) unless("Authorization", `Basic ${basic(found.user.at(-1), notes)}`);
  if (found.bearer) unless("Authorization", `Bearer ${found.bearer.at(-1)}`);
  if (found.agent) unless("User-Agent", found.agent.at(-1));
  if (found.referer) unless("Referer", found.referer.at(-1));
  for (const cookie of found.cookie ?? []) {
    if (cookie.includes("=")) set("Cookie", cookie);
    else notes.push(`Left out: the cookies of the file ${cookie}`);
  }
  if (found.body.some(({ meaning }) => meaning === "json")) {
    unless("Content-Type", "application/json");
    unless("Accept", "application/json");
  }
  return once(headers, notes);
}

/** A job has each header once: of several with one name, the last. */
function once(headers, notes) {
  return headers.filter(({ name, value }, place) => {
    const isLast = !headers
      .slice(place + 1)
      .some((later) => later.name.toLowerCase() === name.toLowerCase());
    if (!isLast) notes.push(`Left out, since another header has its name: ${name}: ${value}`);
    return isLast;
  });
}

function basic(user, notes) {
  if (!user.includes(":")) notes.push("-u has no password: curl would ask for it.");
  const bytes = new TextEncoder().encode(user.includes(":") ? user : `${user}:`);
  return btoa(String.fromCharCode(...bytes));
}

/** Return the body that the options for data say; null if there are none. */
function bodyFrom(parts, notes) {
  const texts = parts.flatMap(({ meaning, value }) => {
    const isFile = meaning === "encoded" ? /^[^=]*@/.test(value) : value.startsWith("@");
    if (meaning === "raw" || !isFile) return [meaning === "encoded" ? encoded(value) : value];
    notes.push(`Left out: the file ${value.slice(value.indexOf("@") + 1)}; paste what is in it`);
    return [];
  });
  if (!parts.length) return null;
  return texts.join(parts.every(({ meaning }) => meaning === "json") ? "" : "&");
}

function encoded(value) {
  const [, name, content] = /^([^=]*)=(.*)$/s.exec(value) ?? [null, "", value];
  // As curl does it: a plus for a space, and small letters.
  const text = encodeURIComponent(content)
    .replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`)
    .replace(/%../g, (sign) => (sign === "%20" ? "+" : sign.toLowerCase()));
  return name ? `${name}=${text}` : text;
}

// A request as code: curl, Python and JavaScript. Pure functions.

/**
 * @typedef {{method: string, url: string, headers: Record<string, string>, body: string | null,
 *   isKeyed: boolean, answers: string}} Sent
 * `body` is JSON as it was typed, which may be wrong; `answers` is the type of the answer's body,
 * "" if it has none. With `isKeyed` the key comes from the environment variable RESONA_KEY.
 */

const JSON_TYPE = "application/json";

/** @type {Record<string, (sent: Sent) => string>} */
export const LANGUAGES = { curl, Python: python, JavaScript: javascript };

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * @param {Sent} sent
 * @returns {string}
 */
function curl({ method, url, headers, body, isKeyed }) {
  const lines = [`curl -sS ${method === "GET" ? "" : `-X ${method} `}${quoted(url)}`];
  if (isKeyed) lines.push('-H "Authorization: Bearer $RESONA_KEY"');
  if (body !== null) lines.push(`-H 'Content-Type: ${JSON_TYPE}'`);
  for (const [name, value] of Object.entries(headers))
    lines.push(`-H ${quoted(`${name}: ${value}`)}`);
  if (body !== null) lines.push(`--data-raw ${quoted(body)}`);
  return lines.join(" \\\n  ");
}

/**
 * Return the value of JSON text; undefined if a literal cannot say the same: it is no JSON, or null,
 * or has a number that would be rounded or written in another way.
 */
function exact(text) {
  const numbers = text.replace(/"(?:[^"\\]|\\.)*"/g, "").match(/-?\d[\d.eE+-]*/g) || [];
  try {
    const value = JSON.parse(text);
    const isExact = numbers.every((number) => String(Number(number)) === number);
    return isExact && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Lay out a value as a literal of a language: its brackets are those of JSON. */
function literal(value, { words, key, indent }, before = "") {
  const deeper = before + indent;
  const laid = (open, members, close) =>
    members.length
      ? `${open}\n${members.map((member) => `${deeper}${member},\n`).join("")}${before}${close}`
      : open + close;
  const inner = (member) => literal(member, { words, key, indent }, deeper);
  if (Array.isArray(value)) return laid("[", value.map(inner), "]");
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).map(([name, member]) => `${key(name)}: ${inner(member)}`);
    return laid("{", members, "}");
  }
  // A string of JSON is one of Python and of JavaScript too.
  const text = JSON.stringify(value);
  return words[text] || text;
}

const PYTHON = {
  words: { true: "True", false: "False", null: "None" },
  key: JSON.stringify,
  indent: "    ",
};
const JAVASCRIPT = {
  words: {},
  // Written plainly, __proto__ would set the object's prototype.
  key: (name) =>
    name === "__proto__"
      ? '["__proto__"]'
      : /^[A-Za-z_$][\w$]*$/.test(name)
        ? name
        : JSON.stringify(name),
  indent: "  ",
};

/**
 * @param {Sent} sent
 * @returns {string}
 */
function python({ method, url, headers, body, isKeyed, answers }) {
  const value = body === null ? undefined : exact(body);
  const sent = Object.entries(headers).map(([name, text]) => `${string(name)}: ${string(text)}`);
  if (isKeyed) sent.unshift(`"Authorization": f"Bearer {os.environ['RESONA_KEY']}"`);
  if (body !== null && value === undefined) sent.push(`"Content-Type": "${JSON_TYPE}"`);
  const given = [string(url)];
  if (sent.length)
    given.push(`headers={\n${sent.map((line) => `        ${line},\n`).join("")}    }`);
  if (value !== undefined) given.push(`json=${literal(value, PYTHON, PYTHON.indent)}`);
  else if (body !== null) given.push(`data=${string(body)}.encode()`);
  given.push("timeout=30");
  return [
    ...(isKeyed ? ["import os", ""] : []),
    "import requests",
    "",
    `answer = requests.${method.toLowerCase()}(`,
    ...given.map((each) => `    ${each},`),
    ")",
    `print(answer.status_code${{ "": "", [JSON_TYPE]: ", answer.json()" }[answers] ?? ", answer.text"})`,
  ].join("\n");
}

/**
 * @param {Sent} sent
 * @returns {string}
 */
function javascript({ method, url, headers, body, isKeyed, answers }) {
  const value = body === null ? undefined : exact(body);
  const sent = Object.entries(headers).map(
    ([name, text]) => `${JAVASCRIPT.key(name)}: ${string(text)}`,
  );
  if (body !== null) sent.unshift(`"Content-Type": "${JSON_TYPE}"`);
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the code that is shown
  if (isKeyed) sent.unshift("Authorization: `Bearer ${process.env.RESONA_KEY}`");
  const given = method === "GET" ? [] : [`method: "${method}"`];
  if (sent.length) given.push(`headers: {\n${sent.map((line) => `    ${line},\n`).join("")}  }`);
  if (value !== undefined) given.push(`body: JSON.stringify(${literal(value, JAVASCRIPT, "  ")})`);
  else if (body !== null) given.push(`body: ${string(body)}`);
  const options = given.length ? `, {\n${given.map((each) => `  ${each},\n`).join("")}}` : "";
  return [
    `const answer = await fetch(${string(url)}${options});`,
    `console.log(answer.status${{ "": "", [JSON_TYPE]: ", await answer.json()" }[answers] ?? ", await answer.text()"});`,
  ].join("\n");
}

function string(text) {
  return JSON.stringify(text);
}

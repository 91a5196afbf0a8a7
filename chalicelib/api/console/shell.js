// A command line as a shell reads it: its words. Pure functions.

const ESCAPES = {
  n: "\n",
  t: "\t",
  r: "\r",
  a: "\x07",
  b: "\b",
  e: "\x1b",
  E: "\x1b",
  f: "\f",
  v: "\v",
};
// What ends a command outside quotes.
const ENDS = /[|&;<>()\n]/;

/**
 * Return the words of the first command, and in words what the shell would do that is not done here.
 *
 * @param {string} text
 * @returns {{words: string[], notes: string[]}}
 */
export function shellWords(text) {
  const reader = new Reader(
    text
      .replace(/\r\n?/g, "\n")
      .replace(/^\s*[$%>]\s+/, "")
      .trim(),
  );
  reader.read();
  return { words: reader.words, notes: reader.notes };
}

/** Return the text of bytes written as \xc3\xa9 or \303\251. */
function decoded(escapes) {
  const bytes = escapes
    .slice(1)
    .split("\\")
    .map((each) =>
      each[0] === "x" ? Number.parseInt(each.slice(1), 16) : Number.parseInt(each, 8),
    );
  return new TextDecoder().decode(Uint8Array.from(bytes));
}

class Reader {
  constructor(text) {
    this.text = text;
    this.at = 0;
    /** @type {string[]} */
    this.words = [];
    /** @type {string[]} */
    this.notes = [];
    // The word that is being read; null between words.
    /** @type {string | null} */
    this.word = null;
  }

  read() {
    while (this.at < this.text.length) {
      const sign = this.text[this.at];
      if (ENDS.test(sign)) {
        this.notes.push(`Left out, after the command: ${this.text.slice(this.at).trim()}`);
        break;
      }
      if (/\s/.test(sign)) this.end();
      else if (sign === "#" && this.word === null) this.comment();
      else this.part(sign);
    }
    this.end();
  }

  end() {
    if (this.word !== null) this.words.push(this.word);
    this.word = null;
    this.at += 1;
  }

  add(text, length) {
    this.word = (this.word ?? "") + text;
    this.at += length;
  }

  comment() {
    const end = this.text.indexOf("\n", this.at);
    const comment = end < 0 ? this.text.slice(this.at) : this.text.slice(this.at, end);
    this.notes.push(`Left out, a comment: ${comment}`);
    this.at += comment.length;
  }

  part(sign) {
    const next = this.text[this.at + 1];
    if (sign === "'") this.single();
    else if (sign === '"') this.double();
    else if (sign === "$" && next === "'") this.ansi();
    else if (sign === "\\" && next === "\n") this.at += 2;
    else if (sign === "\\") this.add(next ?? "", 2);
    else this.plain(sign);
  }

  /** Take a sign as it is, and say so where the shell would put something else. */
  plain(sign) {
    const found = /^(\$(\w+|\{[^}]*\}|\([^)]*\))|`[^`]*`)/.exec(this.text.slice(this.at));
    if (!found) {
      this.add(sign, 1);
      return;
    }
    this.notes.push(`Taken as it stands, though a shell would replace it: ${found[0]}`);
    this.add(found[0], found[0].length);
  }

  single() {
    const end = this.closing("'", this.at + 1);
    this.add(this.text.slice(this.at + 1, end), 0);
    this.at = end + 1;
  }

  double() {
    this.add("", 1);
    while (this.at < this.text.length && this.text[this.at] !== '"') {
      const sign = this.text[this.at];
      const next = this.text[this.at + 1];
      if (sign !== "\\") this.plain(sign);
      else if (next === "\n") this.at += 2;
      else if (next !== undefined && '$`"\\'.includes(next)) this.add(next, 2);
      else this.add(sign, 1);
    }
    if (this.at >= this.text.length) this.unclosed('"');
    this.at += 1;
  }

  /** Read $'…', in which a backslash begins an escape as in C. */
  ansi() {
    this.add("", 2);
    const code =
      /^(?:((?:\\x[0-9a-fA-F]{1,2}|\\[0-7]{1,3})+)|\\(?:u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|([\s\S])))/;
    while (this.at < this.text.length && this.text[this.at] !== "'") {
      const found = code.exec(this.text.slice(this.at));
      if (!found) {
        this.add(this.text[this.at], 1);
        continue;
      }
      const [whole, bytes, short, long, letter] = found;
      const hex = short ?? long;
      const number = hex ? Number.parseInt(hex, 16) : Number.NaN;
      if (bytes) this.add(decoded(bytes), whole.length);
      else if (number <= 0x10ffff) this.add(String.fromCodePoint(number), whole.length);
      else this.add(ESCAPES[letter] ?? letter ?? whole, whole.length);
    }
    if (this.at >= this.text.length) this.unclosed("'");
    this.at += 1;
  }

  closing(sign, from) {
    const end = this.text.indexOf(sign, from);
    if (end < 0) this.unclosed(sign);
    return end < 0 ? this.text.length : end;
  }

  unclosed(sign) {
    this.notes.push(`A quote is not closed: ${sign}`);
  }
}

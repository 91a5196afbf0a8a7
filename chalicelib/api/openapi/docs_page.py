"""The page `GET /docs`: the OpenAPI document as HTML, without scripts or other hosts."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

from chalicelib.api.openapi.document import document

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --quiet: #59636e; --paper: #fff;
  --panel: #f5f7f9; --line: #d5dbe1; --link: #0a58b5;
  --get: #0a58b5; --post: #1a7f43; --put: #8a5a00; --patch: #7a3fb0; --delete: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --quiet: #9aa5b1; --paper: #14171b;
  --panel: #1d2127; --line: #343b44;
  --link: #7cb4ff; --get: #7cb4ff; --post: #6fd397; --put: #e3b25a; --patch: #c9a0f2;
  --delete: #ff9187; } }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--paper); display: grid;
  grid-template-columns: 19rem minmax(0, 1fr); }
a { color: var(--link); text-decoration: none; }
a:hover, a:focus { text-decoration: underline; }
nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; padding: 1.25rem 1rem;
  background: var(--panel);
  border-right: 1px solid var(--line); font-size: .875rem; }
nav h2 { margin: 1.25rem 0 .25rem; font-size: .75rem; letter-spacing: .06em;
  text-transform: uppercase; color: var(--quiet); }
nav a { display: flex; gap: .3rem; padding: .15rem 0; color: inherit; overflow-wrap: anywhere; }
nav a .method { flex: none; }
main { padding: 1.5rem 2.5rem 6rem; max-width: 62rem; }
h1 { margin: 0; font-size: 2rem; }
main > h2 { margin: 3rem 0 .25rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line);
  text-transform: capitalize; }
h3 { margin: 2.25rem 0 .25rem; font-size: 1.1rem; overflow-wrap: anywhere; }
h4 { margin: 1.1rem 0 .3rem; font-size: .8rem; letter-spacing: .04em; text-transform: uppercase;
  color: var(--quiet); }
p { margin: .4rem 0; max-width: 46rem; }
.quiet { color: var(--quiet); }
code, pre { font: .86em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { margin: .3rem 0 .8rem; padding: .7rem .9rem; overflow-x: auto; background: var(--panel);
  border: 1px solid var(--line);
  border-radius: 6px; }
.method { display: inline-block; min-width: 3.6rem;
  font: 700 .72rem/1.5 ui-monospace, Menlo, Consolas, monospace; }
.get { color: var(--get); } .post { color: var(--post); } .put { color: var(--put); } .patch {
  color: var(--patch); }
.delete { color: var(--delete); }
h3 .method { font-size: .85rem; min-width: 0; margin-right: .5rem; }
h3 code { font-size: 1rem; }
table { width: 100%; border-collapse: collapse; font-size: .9rem; }
td { padding: .35rem .8rem .35rem 0; border-top: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; }
td:first-child { width: 12rem; }
td:nth-child(2) { width: 15rem; }
table.statuses td:first-child { width: 4rem; }
table.statuses td:nth-child(2) { width: auto; }
summary { cursor: pointer; color: var(--link); font-size: .9rem; }
.must { color: var(--delete); font-size: .75rem; white-space: nowrap; }
@media (max-width: 52rem) { body { display: block; } nav { position: static; height: auto;
  border-right: 0; }
  main { padding: 1rem; } table:not(.statuses) td { display: block; width: auto; padding: .1rem 0; }
  table:not(.statuses) td:not(:first-child) { border-top: 0; } }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
# The page may load nothing and run nothing; its one style is allowed by its hash.
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_REQUIRED = " <span class='must'>required</span>"
_RULES = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "maxItems": "at most {}",
    "maxProperties": "at most {} entries",
}


@functools.cache
def page() -> str:
    """Return the documentation as an HTML page."""
    made = document()
    by_tag: dict[str, list[tuple[str, str, Any]]] = {tag["name"]: [] for tag in made["tags"]}
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            by_tag[operation["tags"][0]].append((method, path, operation))
    info = made["info"]
    title = escape(info["title"])
    return "".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>{title} API</title><style>{_STYLE}</style></head><body>",
            f"<nav><a href='#top'><b>{title}</b> {escape(info['version'])}</a>",
            *_contents(by_tag),
            f"</nav><main id='top'><h1>{title} API</h1>{_text(info['description'])}",
            "<p class='quiet'>For programs: <a href='openapi.json'>openapi.json</a>, OpenAPI 3.1.",
            "</p>",
            *(_section(tag, by_tag[tag["name"]]) for tag in made["tags"]),
            "<h2 id='refusals'>Refusals</h2>",
            "<p class='quiet'>The answer of an operation that lists the status.</p>",
            "<table class='statuses'>",
            *map(_refusal, made["components"]["responses"].items()),
            "</table><h2>Documents</h2>",
            *(_schema(name, schema) for name, schema in made["components"]["schemas"].items()),
            "</main></body></html>",
        ]
    )


def _contents(by_tag: Mapping[str, Iterable[tuple[str, str, Any]]]) -> Iterator[str]:
    for name, operations in by_tag.items():
        yield f"<h2>{escape(name)}</h2>"
        for method, path, operation in operations:
            shown = f"{_method(method)}<span>{escape(path)}</span>"
            yield f"<a href='#{operation['operationId']}'>{shown}</a>"
    yield "<h2><a href='#refusals'>Refusals</a></h2><h2>Documents</h2>"
    yield from (f"<a href='#{name}'>{name}</a>" for name in document()["components"]["schemas"])


def _method(method: str) -> str:
    return f"<span class='method {method}'>{method.upper()}</span>"


def _text(text: str) -> str:
    """Return a description as paragraphs, with text between backticks as code."""
    return "".join(f"<p>{_inline(part)}</p>" for part in text.split("\n\n"))


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(" ".join(text.split())))


def _section(tag: Mapping[str, str], operations: Iterable[tuple[str, str, Any]]) -> str:
    about = f"<h2>{escape(tag['name'])}</h2><p class='quiet'>{_inline(tag['description'])}</p>"
    return about + "".join(_operation(*one) for one in operations)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    scopes = [scope for way in operation["security"] for scope in way["key"]]
    needs = (
        f"Needs a key with the scope <code>{escape(scopes[0])}</code>."
        if scopes
        else "Needs no key."
    )
    more = (
        operation["description"] if operation["description"] != f"{operation['summary']}." else ""
    )
    parts = [
        f"<section id='{operation['operationId']}'>",
        f"<h3>{_method(method)}<code>{escape(path)}</code></h3>",
        f"<p><b>{_inline(operation['summary'])}.</b> {_inline(more)} ",
        f"<span class='quiet'>{needs}</span></p>",
    ]
    if operation["parameters"]:
        rows = "".join(map(_parameter, operation["parameters"]))
        parts.append(f"<h4>Parameters</h4><table>{rows}</table>")
    if "requestBody" in operation:
        parts += ["<h4>Body</h4>", *_content(operation["requestBody"])]
    parts += [
        "<h4>Answers</h4><table class='statuses'>",
        *map(_answer, operation["responses"].items()),
        "</table></section>",
    ]
    return "".join(parts)


def _parameter(parameter: Mapping[str, Any]) -> str:
    must = _REQUIRED if parameter["required"] else ""
    where = f"<span class='quiet'>in the {parameter['in']}</span>"
    example = (
        f" <span class='quiet'>Such as</span> <code>{escape(str(parameter['example']))}</code>"
        if "example" in parameter
        else ""
    )
    return _row(
        f"<code>{escape(parameter['name'])}</code> {where}{must}",
        _type(parameter["schema"]),
        _inline(parameter["description"]) + example,
    )


def _row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _answer(answered: tuple[str, Mapping[str, Any]]) -> str:
    status, answer = answered
    if "$ref" in answer:
        name = answer["$ref"].rpartition("/")[2]
        return _row(
            f"<a href='#{name}'>{status}</a>",
            _inline(document()["components"]["responses"][name]["description"]),
        )
    return _row(
        f"<b>{status}</b>",
        "".join([_inline(answer["description"]), _headers(answer), *_content(answer)]),
    )


def _refusal(named: tuple[str, Mapping[str, Any]]) -> str:
    name, answer = named
    (content,) = answer["content"].values()
    shown = "".join([_inline(answer["description"]), _headers(answer), *_content(answer)])
    return _row(f"<b id='{name}'>{content['example']['status']}</b>", shown)


def _headers(answer: Mapping[str, Any]) -> str:
    given = ", ".join(f"<code>{escape(name)}</code>" for name in answer.get("headers", {}))
    return f" <span class='quiet'>Headers:</span> {given}" if given else ""


def _content(described: Mapping[str, Any]) -> Iterator[str]:
    for media_type, content in described.get("content", {}).items():
        shown = f"{_type(content['schema'])} <span class='quiet'>as {escape(media_type)}</span>"
        yield f"<div>{shown}</div>"
        examples = content.get("examples") or {
            "": {"summary": "An example", "value": content["example"]}
        }
        for example in examples.values():
            value = example["value"]
            if not isinstance(value, str):
                value = json.dumps(value, indent=2, ensure_ascii=False)
            yield f"<details><summary>{escape(example['summary'])}</summary>"
            yield f"<pre>{escape(value)}</pre></details>"


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    about = f"<p>{_inline(schema['description'])}</p>" if "description" in schema else ""
    needed = schema.get("required", [])
    rows = [
        _row(
            f"<code>{escape(field)}</code>" + (_REQUIRED if field in needed else ""),
            _type(member),
            _about(member),
        )
        for field, member in schema.get("properties", {}).items()
    ]
    shown = f"<table>{''.join(rows)}</table>" if rows else f"<p>{_type(schema)}</p>"
    return f"<section id='{name}'><h3><code>{name}</code></h3>{about}{shown}</section>"


def _about(member: Mapping[str, Any]) -> str:
    parts = [_inline(member["description"])] if "description" in member else []
    if "default" in member:
        default = escape(json.dumps(member["default"]))
        parts.append(f"<span class='quiet'>Default:</span> <code>{default}</code>")
    if member.get("readOnly"):
        parts.append("<span class='quiet'>Read-only: only the current value is accepted.</span>")
    return " ".join(parts)


def _type(schema: Mapping[str, Any]) -> str:
    """Describe a value in a few words; a schema with a name becomes a link to it."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"<a href='#{name}'>{name}</a>"
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " or ".join(f"<code>{escape(str(value))}</code>" for value in values)
    kind = escape(str(schema.get("format") or schema.get("type") or "any JSON value"))
    rules = [text.format(schema[word]) for word, text in _RULES.items() if word in schema]
    return ", ".join([_of_members(kind, schema), *rules])


def _of_members(kind: str, schema: Mapping[str, Any]) -> str:
    """Return the type of an array or object in words, with the type of its members."""
    if kind == "array":
        return f"array of {_type(schema['items'])}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}s"
    return kind

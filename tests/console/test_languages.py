"""The code that the page of the API shows sends what it says, in each of its languages.

node makes it of requests; then sh, Python and node run it against a server that keeps what came.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from chalicelib.api.console.files import FOLDER
from tests.api.conftest import Api, api, env

__all__ = ["api", "env"]  # fixtures

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.xdist_group("languages"),
]
KEY = "rsn_local_k'e\"y$HOME`id`"
# Quotes, what a shell or a template would take for its own, line ends, invisible signs, escapes.
NASTY = "a'b\"c\\d $HOME `id` ${x} $(id) !! %s {y} \n\t\r\b \u2028 é漢🙂 \x7f </script> @file"
BODIES = {
    "nasty": {NASTY: NASTY, "list": [NASTY, [], {}, [[1]]]},
    "words": {"true": True, "no": False, "null": None, "None": "None", "class": 1, "1a": -0.5},
    "a prototype": {"__proto__": {"x": 1}, "constructor": "y"},
    "a text": NASTY,
    "an empty list": [],
}
# JSON as it is typed: numbers that a language would write in another way, and what is none.
TYPED = {
    "exact numbers": '{"amount": 1.10, "id": 12345678901234567890, "text": "1.10"}',
    "null": "null",
    "no JSON": "{'not': \"JSON\"} é @x",
}

MADE = """
import { readFileSync } from "node:fs";
const { LANGUAGES } = await import(process.argv[1]);
const sent = JSON.parse(readFileSync(0, "utf8"));
const made = (each) => Object.entries(LANGUAGES).map(([name, of]) => [name, of(each)]);
console.log(JSON.stringify(sent.map((each) => Object.fromEntries(made(each)))));
"""


class _Keeper(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        kept: list[Any] = self.server.kept  # type: ignore[attr-defined]  # the fixture sets it
        kept.append((self.command, self.path, dict(self.headers), self.rfile.read(length)))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815  http.server's names

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Any]:
    started: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Keeper)
    started.kept = []
    threading.Thread(target=started.serve_forever, args=(0.01,), daemon=True).start()
    yield started
    started.shutdown()
    started.server_close()


def node(script: str, *arguments: str, given: str = "") -> str:
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", script, *arguments],
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "RESONA_KEY": KEY},
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def made(sent: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return each request in each language."""
    found: list[dict[str, str]] = json.loads(
        node(MADE, str(FOLDER / "languages.js"), given=json.dumps(sent))
    )
    return found


def run_all(language: str, snippets: list[str], folder: Path) -> None:
    match language:
        case "curl":
            script = "\n".join(snippets)
            env = {"PATH": "/usr/bin:/bin", "RESONA_KEY": KEY, "HOME": "/nowhere"}
            subprocess.run(
                ["sh", "-ec", script], env=env, cwd=folder, check=True, capture_output=True
            )
        case "Python":
            for snippet in snippets:
                exec(compile(snippet, "snippet", "exec"), {"print": lambda *shown: None})
        case "JavaScript":
            # Each declares the same name.
            node("\n".join(f"{{\n{snippet}\n}}" for snippet in snippets))


@pytest.mark.parametrize("language", ["curl", "Python", "JavaScript"])
def test_each_language_sends_the_same_request(
    server: Any, language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if language == "curl" and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    monkeypatch.setenv("RESONA_KEY", KEY)
    url = f"http://127.0.0.1:{server.server_port}/jobs/key:it's%20$HOME%60?label=a%3A'b'&x=%22"
    headers = {"Idempotency-Key": 'it\'s "$HOME" `id` \\ %s {x}'}
    common = {"url": url, "isKeyed": True, "answers": "application/json"}
    bodies = [json.dumps(body, ensure_ascii=False, indent=2) for body in BODIES.values()]
    bodies += TYPED.values()
    sent: list[dict[str, Any]] = [
        {"method": "POST", "headers": headers, "body": body, **common} for body in bodies
    ] + [
        {"method": method, "headers": {}, "body": None, **common, "answers": ""}
        for method in ("GET", "DELETE", "PATCH")
    ]
    run_all(language, [each[language] for each in made(sent)], tmp_path)
    assert len(server.kept) == len(sent)
    for asked, (method, path, got, body) in zip(sent, server.kept, strict=True):
        assert (method, unquote(path)) == (asked["method"], unquote(url[url.index("/jobs") :]))
        assert got["Authorization"] == f"Bearer {KEY}"
        assert {name: got[name] for name in asked["headers"]} == asked["headers"]
        if asked["body"] is None:
            assert body == b""
            continue
        assert got["Content-Type"] == "application/json"
        if asked["body"] in TYPED.values():
            assert body.decode() == asked["body"]
        else:
            assert json.loads(body) == json.loads(asked["body"])


def test_every_operation_of_the_document_is_shown_with_all_that_it_has(api: Api) -> None:
    """Its parameters, the fields of its body, and the statuses that it answers."""
    script = """
    import { readFileSync } from "node:fs";
    const { tagsOf, requestOf, walk } = await import(process.argv[1]);
    const of = JSON.parse(readFileSync(0, "utf8"));
    const shown = tagsOf(of).flatMap((tag) => tag.operations).map((each) => {
      const fields = [];
      if (each.body) walk(of, each.body, each.id, (field, id, path) => fields.push(path));
      const given = each.parameters.map(({ name, example }) => [name, example]);
      const values = Object.fromEntries(given);
      const sent = requestOf(each, values, "{}", (path) => `http://x${path}`, true);
      return { ...each, fields, sent };
    });
    console.log(JSON.stringify(shown));
    """
    document = api.get("/openapi.json").json
    shown = json.loads(node(script, str(FOLDER / "openapi.js"), given=json.dumps(document)))
    by_id = {each["id"]: each for each in shown}
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(by_id) == len(operations)
    for path, method, operation in operations:
        told = by_id[operation["operationId"]]
        assert (told["method"], told["path"]) == (method.upper(), path)
        assert [each["name"] for each in told["parameters"]] == [
            each["name"] for each in operation["parameters"]
        ]
        statuses = [each["status"] for each in [*told["answers"], *told["errors"]]]
        assert sorted(statuses) == sorted(operation["responses"])
        assert told["sent"]["isKeyed"] == bool(operation["security"])
        assert "{" not in told["sent"]["url"]
    fields = by_id["create_job"]["fields"]
    assert fields[:3] == ["name", "request", "request.url"]
    assert {"trigger.cron", "trigger.fields.date", "retry.max_attempts", "labels"} <= set(fields)
    assert by_id["put_job"]["sent"]["url"] == "http://x/jobs/key:report"
    assert by_id["delete_jobs"]["sent"]["url"] == "http://x/jobs/delete?label=team%3Abilling"

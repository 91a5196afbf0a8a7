"""The receivers that README and docs/api.md show verify what Resona signs, and nothing else.

Each is run as it stands, but for the secret: in Python here, in JavaScript by node, in Go by go.
Without node or go, or while their registry cannot be reached, they are skipped with the reason.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from chalicelib.outbound import signing
from tests.pages import README, blocks, page

HERE = Path(__file__).parent
SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes, +/").decode()
OTHER = "whsec_" + base64.b64encode(b"b secret of thirty-two bytes, +/").decode()
RUN = "run_01JD9V8M0Q4Q6T5W0H9C1Y3B7K-1-20261201T100000Z"


@dataclass(frozen=True)
class Message:
    """A request as a receiver gets it, and whether Resona sent it."""

    name: str
    body: bytes
    headers: dict[str, str]
    is_genuine: bool


def signed(body: bytes, *secrets: str, age: timedelta = timedelta(0)) -> dict[str, str]:
    return signing.headers(secrets or [SECRET], RUN, datetime.now(UTC) - age, body)


def messages() -> list[Message]:
    body = b'{"key": "value"}'
    headers = signed(body)
    genuine = {
        "JSON": (body, headers),
        "an empty body": (b"", signed(b"")),
        "plain text": (b"not JSON", signed(b"not JSON")),
        "text beyond ASCII": ("é, 漢字, 🙂".encode(), signed("é, 漢字, 🙂".encode())),
        "two secrets while one replaces the other": (body, signed(body, OTHER, SECRET)),
        "headers beside": (body, {**headers, "content-type": "application/json"}),
    }
    forged = {
        "another body": (b'{"key": "other"}', headers),
        "an added byte": (body + b" ", headers),
        "no body": (b"", headers),
        "bytes that are no text": (b"\xff\xfe", headers),
        "another run": (body, {**headers, "webhook-id": RUN.replace("-1-", "-2-")}),
        "another secret": (body, signed(body, OTHER)),
        "no signature": (body, {}),
        "an old signature": (body, signed(body, age=timedelta(minutes=6))),
        "a signature of another version": (
            body,
            {**headers, "webhook-signature": headers["webhook-signature"].replace("v1,", "v2,")},
        ),
        "a signature without a version": (body, {**headers, "webhook-signature": "v1"}),
        "a signature that is no base64": (body, {**headers, "webhook-signature": "v1,%%%"}),
        "a timestamp that is no number": (body, {**headers, "webhook-timestamp": "now"}),
    }
    return [Message(name, *sent, is_genuine=True) for name, sent in genuine.items()] + [
        Message(name, *sent, is_genuine=False) for name, sent in forged.items()
    ]


def snippet(text: str, language: str) -> str:
    """Return the only receiver of a page, with our secret in it."""
    found = [block for block in blocks(text, language) if "whsec_..." in block]
    assert len(found) == 1
    return found[0].replace("whsec_...", SECRET)


def verdicts() -> list[tuple[str, bool]]:
    return [(message.name, message.is_genuine) for message in messages()]


def handed_over(folder: Path) -> Path:
    """Write the messages to a file that every language can read, bodies as base64."""
    path = folder / "messages.json"
    path.write_text(
        json.dumps(
            [
                {
                    "name": message.name,
                    "body": base64.b64encode(message.body).decode(),
                    "headers": message.headers,
                }
                for message in messages()
            ]
        )
    )
    return path


def run(folder: Path, *command: str) -> list[tuple[str, bool]]:
    """Return what a program printed: for each message its name, and whether it was verified."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return [(name, verdict) for name, verdict in json.loads(done.stdout)]


def install(folder: Path, *command: str) -> None:
    """Install what a snippet imports, or skip with the reason."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    if done.returncode != 0:
        pytest.skip(f"{' '.join(command)} failed: {done.stderr.strip()[-200:]}")


def of_python(text: str) -> Callable[[bytes, dict[str, str]], bool]:
    names: dict[str, Callable[[bytes, dict[str, str]], bool]] = {}
    exec(compile(snippet(text, "python"), "snippet", "exec"), names)
    return names["is_from_resona"]


@pytest.mark.parametrize("text", [README, page("api")], ids=["README", "api"])
def test_the_receiver_in_python_verifies_what_resona_signs_and_nothing_else(text: str) -> None:
    is_from_resona = of_python(text)
    found = [(one.name, is_from_resona(one.body, one.headers)) for one in messages()]
    assert found == verdicts()


@pytest.mark.parametrize("body", [b"", b"not JSON"])
def test_without_json_parse_false_a_genuine_body_raises_as_the_pages_say(body: bytes) -> None:
    with pytest.raises(json.JSONDecodeError):
        Webhook(SECRET).verify(body, signed(body))


def test_the_receiver_in_javascript_verifies_the_same(tmp_path: Path) -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, tmp_path)
    install(tmp_path, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
    (tmp_path / "receiver.js").write_text(snippet(page("api"), "js"))
    handed_over(tmp_path)
    (tmp_path / "main.js").write_text(
        """import { readFileSync } from "node:fs";
import { isFromResona } from "./receiver.js";

const messages = JSON.parse(readFileSync("messages.json", "utf8"));
const found = messages.map(({ name, body, headers }) =>
  [name, isFromResona(Buffer.from(body, "base64"), headers)]);
console.log(JSON.stringify(found));
"""
    )
    assert run(tmp_path, "node", "main.js") == verdicts()


def test_the_receiver_in_go_verifies_the_same(tmp_path: Path) -> None:
    if shutil.which("go") is None:
        pytest.skip("go is not installed")
    for name in ("go.mod", "go.sum"):
        shutil.copy(HERE / name, tmp_path)
    install(tmp_path, "go", "mod", "download")
    (tmp_path / "receiver").mkdir()
    (tmp_path / "receiver" / "receiver.go").write_text(snippet(page("api"), "go"))
    handed_over(tmp_path)
    (tmp_path / "main.go").write_text(
        """package main

import (
	"encoding/json"
	"net/http"
	"os"

	"example.com/receiver/receiver"
)

type message struct {
	Name    string
	Body    []byte
	Headers map[string]string
}

func main() {
	var messages []message
	text, err := os.ReadFile("messages.json")
	if err == nil {
		err = json.Unmarshal(text, &messages)
	}
	found := [][]any{}
	for _, one := range messages {
		headers := http.Header{}
		for name, value := range one.Headers {
			headers.Set(name, value)
		}
		var genuine bool
		if err == nil {
			genuine, err = receiver.IsFromResona(one.Body, headers)
		}
		found = append(found, []any{one.Name, genuine})
	}
	if err != nil {
		panic(err)
	}
	json.NewEncoder(os.Stdout).Encode(found)
}
"""
    )
    assert run(tmp_path, "go", "run", ".") == verdicts()

"""A curl command that is pasted becomes what curl sends, and says what it left out."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.acceptance.laptop import Laptop
from tests.console.conftest import ask_module
from tests.console.target import Target

pytestmark = pytest.mark.xdist_group("console 2")

# Each is run by bash, and read by the console; both must come to the same request.
COMMANDS = [
    "curl {url}/plain",
    "curl -X DELETE '{url}/a?b=c&d=e'",
    "curl {url}/form -d a=1 -d 'b=two words' --data-raw @c",
    'curl -sSXPUT {url}/joined -H\'X-A: 1\' -H "X-B:  two \\"three\\" \\$4 \\x" -dbody',
    "curl --location --request PATCH {url} \\\n  --header 'Content-Type: application/json' \\\n"
    '  --data \'{{\n  "amount": 1.10, "who": "it\'\\\'\'s"\n}}\'',
    "curl {url}/json --json '{{\"a\": [1, true]}}'",
    "curl {url}/get -G -d q=1 --data-urlencode 'name=a b&c/é' --data-urlencode '=x!'",
    "curl -u 'jo:s p:ä' {url}/basic -A 'agent/1' -e http://from/ -b 'a=1; b=2'",
    "curl --oauth2-bearer t0ken {url}/bearer -H 'X-Empty;' -H 'Accept:'",
    "curl $'{url}/ansi' --data-raw $'line\\nit\\'s \\u00fc \\xc3\\xa9 \\x41 \\\\ \\101'",
    "curl {url}/last -H 'X-A: 1' -d '' -m 7 --retry 2 -o /dev/null",
    "curl -I {url}/head",
    'curl "{url}/double" -d "a\\\nb" -d "c\nd"',
]
# Options whose use only its note can tell.
NOTED = {
    "wget http://a/": ["This is no curl command: it should begin with curl."],
    "X=1 curl http://a/ -L": [
        "Left out, before curl: X=1",
        "Left out: -L (Resona follows no redirects)",
    ],
    "curl http://a/ -F f=@x -k": [
        "Left out: -F f=@x (write the form's body yourself)",
        "Left out: -k (Resona always verifies certificates)",
    ],
    "curl http://a/ -d @file.json": ["Left out: the file file.json; paste what is in it"],
    'curl http://a/ -H "X: $TOKEN" | jq .': [
        "Taken as it stands, though a shell would replace it: $TOKEN",
        "Left out, after the command: | jq .",
    ],
    "curl http://a/ http://b/": ["Left out, a second URL: http://b/"],
    "curl http://a/ --next -d x http://b/": ["Left out, another request: -d x http://b/"],
    "curl http://a/ --made-up": ["Left out: --made-up"],
    "curl http://a/ --proxy p:1 -x q:2": ["Left out: --proxy p:1", "Left out: -x q:2"],
    "curl a.example/x -d 'open": [
        "A quote is not closed: '",
        "The URL has no scheme; curl takes http://",
    ],
    "curl": ["It names no URL."],
    "curl http://a/ -H 'A: 1' -H 'a: 2'": ["Left out, since another header has its name: A: 1"],
    "curl http://a/ -u me -b jar.txt": [
        "-u has no password: curl would ask for it.",
        "Left out: the cookies of the file jar.txt",
    ],
    "curl http://a/ # a comment": ["Left out, a comment: # a comment"],
    'curl ^"http://a/^"': [
        "It looks like a command for cmd.exe: copy it for bash, whose quotes are read here.",
        "The URL has no scheme; curl takes http://",
    ],
}


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl to compare with")
def test_a_command_is_read_as_bash_and_curl_read_it(
    page: Page, laptop: Laptop, target: Target
) -> None:
    commands = [command.format(url=f"{target}/c") for command in COMMANDS]
    read = ask_module(page, laptop, "curl.js", "module.readCurl", commands)
    for command, said in zip(commands, read, strict=True):
        subprocess.run(["bash", "-c", command], capture_output=True, timeout=10, check=True)
        sent, fields = target.received[-1], said["fields"]
        assert (fields["method"], fields["url"]) == (sent.method, target + sent.path), command
        assert body_of(fields) == sent.body.decode(), command
        for header in fields["headers"]:
            assert sent.headers[header["name"]] == latin(header["value"]), command
        usual = {"host", "accept", "user-agent", "content-length"}
        named = {header["name"].lower() for header in fields["headers"]}
        assert {name.lower() for name in sent.headers} - usual <= named, command
    assert [said["notes"] for said in read if said["notes"]] == [
        ["Left out: --location (Resona follows no redirects)"],
        ["Left out: the header Accept: (curl sends none without a value)"],
    ]
    last = next(said["fields"] for said in read if said["fields"]["url"].endswith("/last"))
    assert (last["timeout"], last["max_attempts"]) == ("7", "3")


def body_of(fields: dict[str, Any]) -> str:
    return str(fields["body"]) if fields["bodyKind"] != "none" else ""


def latin(text: str) -> str:
    """Return a header as http.server reads it."""
    return text.encode().decode("latin-1")


def test_what_is_not_understood_is_said(page: Page, laptop: Laptop) -> None:
    read = ask_module(page, laptop, "curl.js", "module.readCurl", list(NOTED))
    for command, said in zip(NOTED, read, strict=True):
        assert said["notes"][-2:] == NOTED[command], command


def test_a_request_that_is_copied_as_curl_comes_back_the_same(page: Page, laptop: Laptop) -> None:
    dice = random.Random(4)
    signs = "ab '\"\\$`!\n\t#|&;<>(){}[]*?~^%é🙂-@="
    made = [
        {
            "url": "http://a/" + "".join(dice.choices("ab'$?&=%20", k=8)),
            "method": dice.choice(["GET", "POST", "PUT"]),
            "headers": {"X-A": "a" + "".join(dice.choices(signs.replace("\n", ""), k=9)) + "b"},
            "body": "".join(dice.choices(signs, k=20)),
        }
        for _ in range(200)
    ]
    read = ask_module(
        page, laptop, "curl.js", "(request) => module.readCurl(module.curl(request))", made
    )
    for request, said in zip(made, read, strict=True):
        fields = said["fields"]
        named = {header["name"]: header["value"] for header in fields["headers"]}
        # curl would add a content type to a body that has none.
        named.pop("Content-Type")
        again = {"headers": named, **{name: fields[name] for name in ("url", "method", "body")}}
        assert again == request, json.dumps(said)
        assert said["notes"] == []

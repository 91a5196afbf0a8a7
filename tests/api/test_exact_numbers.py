"""Numbers keep their digits from POST /jobs to the receiver: stored, shown, signed, sent."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from standardwebhooks import Webhook

from chalicelib.domain.request import payload
from chalicelib.domain.run import AttemptResult
from chalicelib.outbound.send import send
from tests.api.conftest import Api, job
from tests.environment import Sent, ok
from tests.outbound.servers import LOOPBACK
from tests.soak import IS_SOAK

CASES = 200_000 if IS_SOAK else 300
ROUND = 50
HEADERS = {"Content-Type": "application/json"}
KINDS = [
    "123456789012345.123456", "1.0", "1", "1E5", "1e5", "1e+5", "1e-7", "0.0000001", "-0", "0",
    "-0.0", "-0e0", "0E+00", "0.10", "0.1", "1e-400", "5e-324", "2.4703282292062327e-324",
    "1.7976931348623157e308", "9007199254740993", "9007199254740993.0", str(10**30), str(-(10**30)),
    "9" * 400, "-" + "8" * 4299, "9" * 4300, "0." + "1" * 5000, "1" + "0" * 300 + ".5",
    "1e-" + "9" * 2000, "0e" + "9" * 2000, "1e0000000000000000000000000001",
    "3.141592653589793238462643383279502884197",
]  # fmt: skip


def digits(dice: random.Random, most: int) -> str:
    return "".join(dice.choices("0123456789", k=dice.randint(1, most)))


def number(dice: random.Random) -> str:
    """Return a number of JSON's grammar, of any kind that is taken."""
    if dice.random() < 0.1:
        return dice.choice(KINDS)
    most = dice.choice((1, 3, 17, 40))
    whole = dice.choice(("0", dice.choice("123456789") + dice.choice(("", digits(dice, most)))))
    fraction = dice.choice(("", f".{digits(dice, most)}", ".0", ".500"))
    exponent = dice.choice(
        (
            "",
            "",
            "",
            dice.choice("eE") + dice.choice(("", "+", "-", "-0")) + str(dice.randint(0, 200)),
        )
    )
    return dice.choice(("", "-")) + whole + fraction + exponent


def text(dice: random.Random) -> str:
    return json.dumps(
        "".join(dice.choices('aé"\\😀\x00\n 1.0', k=dice.randint(0, 8))), ensure_ascii=False
    )


def value(dice: random.Random, depth: int = 0) -> str:
    """Return a JSON text as compact as it is sent, most of it numbers."""
    kind = dice.random()
    if depth < 4 and kind < 0.15:
        return "[" + ",".join(value(dice, depth + 1) for _ in range(dice.randint(0, 4))) + "]"
    if depth < 4 and kind < 0.3:
        members = {text(dice): value(dice, depth + 1) for _ in range(dice.randint(0, 4))}
        return "{" + ",".join(f"{name}:{member}" for name, member in members.items()) + "}"
    if depth and kind < 0.4:
        return dice.choice((text(dice), "true", "false", "null"))
    return number(dice)


def with_body(body: str, **changes: Any) -> bytes:
    """Return a job to be registered, with a body as it is written."""
    made = job(request={"url": "http://example.com/endpoint", "body": "BODY"}, **changes)
    return json.dumps(made).replace('"BODY"', body).encode()


def body_in(document: str) -> str:
    """Return the text of the body in a job object as it was answered."""
    return document.partition('"headers":{},"body":')[2].partition('},"timeout":')[0]


def received(
    api: Api, bodies: list[str], read: Callable[[Sent], bytes | None]
) -> list[bytes | None]:
    """Register a job for each body and let all of them fire; return what a receiver got of each."""
    api.env.sent.clear()
    made = []
    for body in bodies:
        answer = api.post("/jobs", raw=with_body(body))
        assert answer.status == 201, answer.text
        assert body_in(answer.text) == body
        made.append(answer.json["id"])
    api.env.advance(seconds=10)
    got = {sent.headers["Resona-Job-Id"]: read(sent) for sent in api.env.sent}
    cloud = api.env.cloud
    cloud.empty()
    return [got[job_id] for job_id in made]


@pytest.mark.parametrize("share", range(4))
def test_every_body_is_sent_digit_by_digit(api: Api, share: int) -> None:
    dice = random.Random(share)
    for _ in range(0, CASES // 4, ROUND):
        bodies = [value(dice) for _ in range(ROUND)]
        assert received(api, bodies, lambda sent: payload(sent.request)[0]) == [
            body.encode() for body in bodies
        ]


@contextmanager
def receiver() -> Iterator[tuple[int, list[tuple[dict[str, str], bytes]]]]:
    got: list[tuple[dict[str, str], bytes]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((dict(self.headers), body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port, got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("secret", ["", '"{{secret:token}}"'], ids=["plain", "with a secret"])
def test_every_kind_of_number_arrives_over_a_socket_and_is_what_was_signed(
    api: Api, secret: str
) -> None:
    body = f"[{','.join([*KINDS, secret] if secret else KINDS)}]"
    api.put("/secrets/token", {"value": "s3cr3t"})
    with receiver() as (port, got):

        def target(sent: Sent) -> AttemptResult:
            return send(
                sent.request,
                run_headers=sent.headers,
                timeout=timedelta(seconds=10),
                credentials=sent.credentials,
                guard=LOOPBACK,
            )

        api.env.target = target
        request = with_body(body).replace(
            b"http://example.com/", f"http://example.com:{port}/".encode()
        )
        made = api.post("/jobs", raw=request)
        assert made.status == 201, made.text
        api.env.advance(seconds=10)
    [(headers, arrived)] = got
    assert arrived.decode() == body.replace("{{secret:token}}", "s3cr3t")
    assert headers["Content-Type"] == "application/json"
    Webhook(api.get("/signing-secret").json["secret"]).verify(
        arrived, {name.lower(): held for name, held in headers.items()}
    )


@pytest.mark.parametrize("body", KINDS, ids=[kind[:30] for kind in KINDS])
def test_a_body_may_be_a_number_and_is_shown_as_it_came(api: Api, body: str) -> None:
    answer = api.post("/jobs", raw=with_body(body))
    assert body_in(answer.text) == body
    job_id = answer.json["id"]
    assert body_in(api.get(f"/jobs/{job_id}").text) == body
    assert body_in(api.get("/jobs").text) == body
    batch = api.post("/jobs/batch", raw=b'{"jobs":[' + with_body(body) + b"]}")
    assert body_in(batch.text) == body


def test_what_was_read_can_be_sent_back_and_changes_nothing(api: Api) -> None:
    made = api.post("/jobs", raw=with_body(f"[{','.join(KINDS)}]"))
    before = api.get(f"/jobs/{made.json['id']}")
    after = api.patch(f"/jobs/{made.json['id']}", raw=before.text.encode())
    assert (after.status, after.text, after.headers["ETag"]) == (
        200,
        before.text,
        before.headers["ETag"],
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [("1.0", "1"), ("0.10", "0.1"), ("1E5", "1e5"), ("-0", "0"), ("123.4560", "123.456")],
)
def test_other_digits_are_another_body(api: Api, old: str, new: str) -> None:
    """What would be sent is not the same, so it is a change, though the value is."""
    made = api.post("/jobs", raw=with_body(old))
    path = f"/jobs/{made.json['id']}"
    etag = api.get(path).headers["ETag"]
    changed = api.patch(
        path, raw=b'{"request":{"url":"http://example.com/endpoint","body":' + new.encode() + b"}}"
    )
    assert body_in(changed.text) == new
    assert changed.headers["ETag"] != etag


SAME = [
    ("5", "5.0"), ("5", "0.5e1"), ("5", "50E-1"), ("0", "-0"), ("0", "-0.000e99"), ("0.10", "0.1"),
    ("1e300", "1" + "0" * 300), ("1e-400", "0.1E-399"),
    ("123456789012345.123456", "123456789012345123.456e-3"), ("1e23", "100000000000000000000000"),
    ("1e-500000", "10e-500001"),
]  # fmt: skip
OTHER = [
    ("123456789012345.123456", "123456789012345.12"), ("9007199254740993", "9007199254740992"),
    ("1e-400", "0"), ("1e22", "1e23"), ("9007199254740993.0", "9007199254740992.0"),
    ("1e-400", "1e-401"), ("1", '"1"'), ("1e-400", '"1e-400"'), ("1", "-1"), ("1", "true"),
    ("0", "false"), ("123456789012345.123456", '"123456789012345123456e-6"'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other"), SAME, ids=[f"{one[:25]}-{other[:25]}" for one, other in SAME]
)
def test_a_repeat_with_the_same_value_gets_the_first_answer(api: Api, one: str, other: str) -> None:
    headers = {**HEADERS, "Idempotency-Key": "order-1"}
    first, second = (
        api.post("/jobs", raw=with_body(body), headers=headers) for body in (one, other)
    )
    assert (first.status, second.status, second.text) == (201, 201, first.text)
    assert second.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_a_repeat_with_another_value_is_refused(api: Api, one: str, other: str) -> None:
    headers = {**HEADERS, "Idempotency-Key": "order-1"}
    assert api.post("/jobs", raw=with_body(one), headers=headers).status == 201
    assert api.post("/jobs", raw=with_body(other), headers=headers).fields == ["Idempotency-Key"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            "1e400",
            "the number 1e400 is too large: at most 1.79e308 is possible; send it as a string",
        ),
        (
            "-" + "9" * 400 + ".5",
            "the number -99999999999999999999999999999999999999… is too large",
        ),
        ("9" * 4301, "a whole number of more than 4,300 digits; send it as a string"),
        ("NaN", "NaN is not JSON"),
        ("-Infinity", "-Infinity is not JSON"),
    ],
    ids=["exponent", "fraction", "whole", "NaN", "Infinity"],
)
def test_a_number_that_readers_could_not_take_is_refused_and_says_what_to_do(
    api: Api, body: str, sentence: str
) -> None:
    answer = api.post("/jobs", raw=with_body(body))
    assert answer.status == 400
    assert sentence in answer.problem["detail"]


@pytest.mark.parametrize("seconds", ["6e1", "60", "60.0", "0.6E2", "60.000"])
def test_numbers_of_our_own_fields_may_be_written_in_any_way(api: Api, seconds: str) -> None:
    raw = json.dumps(
        job(
            timeout=1,
            misfire_grace=1,
            retry={"max_delay": 1, "initial_delay": 1},
            trigger={"delay": 1},
        )
    )
    answer = api.post("/jobs", raw=raw.replace(": 1", f": {seconds}").encode())
    shown = answer.json
    assert (shown["timeout"], shown["misfire_grace"], shown["retry"]["max_delay"]) == (60, 60, 60)
    assert shown["next_run_time"] == "2026-11-23T10:01:01Z"
    preview = api.post(
        "/triggers/preview", raw=f'{{"trigger":{{"cron":"* * * * *"}},"count":{seconds}}}'.encode()
    )
    assert len(preview.json["next_run_times"]) == 60


@pytest.mark.parametrize("wrong", ["6.5e0", "1e-400", "9" * 400, "-0", "1e300"])
def test_and_are_refused_as_any_other(api: Api, wrong: str) -> None:
    assert api.post(
        "/jobs",
        raw=json.dumps(job(timeout=1)).replace('"timeout": 1', f'"timeout": {wrong}').encode(),
    ).fields == ["timeout"]


def test_a_read_only_field_may_have_its_value_in_any_form(api: Api) -> None:
    api.env.target = lambda sent: ok()
    made = api.register()
    api.env.advance(seconds=10)
    shown = api.get(f"/jobs/{made['id']}").text
    assert '"status_code":200' in shown
    assert (
        api.patch(
            f"/jobs/{made['id']}",
            raw=shown.replace('"status_code":200', '"status_code":2E2').encode(),
        ).status
        == 200
    )
    assert api.patch(
        f"/jobs/{made['id']}", raw=shown.replace('"status_code":200', '"status_code":201').encode()
    ).fields == ["result"]

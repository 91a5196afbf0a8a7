"""Rules of requests: the corpus of attacks, and that three parsers agree on accepted URLs."""

from __future__ import annotations

import os
import random
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from chalicelib.domain.errors import InvalidInput, ResonaError
from chalicelib.domain.request import (
    BodyTooLarge,
    Request,
    check,
    normalised,
    payload,
    refuse_private_host,
)
from tests.outbound import attacks

URLS = 200_000 if os.environ.get("RESONA_SOAK") else 10_000
GOOD = "https://example.com/hook"


def wrong_fields(request: Request) -> set[str]:
    try:
        check(request)
    except InvalidInput as wrong:
        return {error.field for error in wrong.errors}
    return set()


def nested(depth: int) -> object:
    found: object = []
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize(
    "attack", attacks.load("urls"), ids=lambda attack: ascii(attack["url"])[:80]
)
def test_a_url_is_accepted_only_if_it_is_public_and_plain(attack: Any) -> None:
    assert wrong_fields(Request(attack["url"], "POST", {})) == (
        set() if attack["accepted"] else {"request.url"}
    )


@pytest.mark.parametrize(
    "attack", attacks.load("headers"), ids=lambda attack: ascii(attack["headers"])[:60]
)
def test_headers_are_accepted_only_if_they_are_plain_and_the_users_to_set(attack: Any) -> None:
    fields = wrong_fields(Request(GOOD, "POST", attack["headers"]))
    assert bool(fields) != attack["accepted"]
    assert all(
        field.startswith("request.headers") and field.isascii() and field.isprintable()
        for field in fields
    )


@pytest.mark.parametrize(
    "attack", attacks.load("methods"), ids=lambda attack: ascii(attack["method"])
)
def test_a_method_is_one_of_seven(attack: Any) -> None:
    # In small letters it is refused here: the door makes it upper case first.
    assert wrong_fields(Request(GOOD, attack["method"], {})) == (
        set() if attack["accepted"] is True else {"request.method"}
    )


@pytest.mark.parametrize("attack", attacks.load("bodies"), ids=lambda attack: str(attack)[:60])
def test_a_body_is_any_json_value_of_at_most_64_kib(attack: Any) -> None:
    body = eval(attack["python"], {"nested": nested}) if "python" in attack else attack["body"]
    request = Request(GOOD, attack.get("method", "POST"), {}, body)
    if attack["accepted"] == "too large":
        with pytest.raises(BodyTooLarge):
            check(request)
    else:
        assert wrong_fields(request) == (set() if attack["accepted"] else {"request.body"})


def test_the_corpus_is_large_enough() -> None:
    assert (
        sum(
            len(attacks.load(kind))
            for kind in ("urls", "dns", "headers", "methods", "bodies", "documents", "servers")
        )
        >= 1000
    )


def test_every_wrong_field_is_named_at_once() -> None:
    request = Request(
        "http://localhost/", "TRACE", {"X-Good": "v", "Host": "h", "X-Bad": "\n"}, float("nan")
    )
    assert wrong_fields(request) == {
        "request.url",
        "request.method",
        "request.headers.Host",
        "request.headers.X-Bad",
        "request.body",
    }


def test_too_many_headers_do_not_hide_which_of_them_are_wrong() -> None:
    headers = {**{f"X-{n}": "v" for n in range(51)}, "Host": "h"}
    assert wrong_fields(Request(GOOD, "POST", headers)) == {
        "request.headers",
        "request.headers.Host",
    }


def test_headers_have_16_kib_in_all_and_no_byte_more() -> None:
    headers = {f"X-{at}": "v" * (4096 - len("X-0")) for at in range(4)}
    assert sum(len(name) + len(value) for name, value in headers.items()) == 16 * 1024
    assert wrong_fields(Request(GOOD, "POST", headers)) == set()
    assert wrong_fields(Request(GOOD, "POST", {**headers, "X-0": headers["X-0"] + "v"})) == {
        "request.headers"
    }
    assert wrong_fields(Request(GOOD, "POST", {**headers, "Y": ""})) == {"request.headers"}


def test_no_error_repeats_a_value() -> None:
    canary = "c4n4ry"
    for request in [
        Request(f"http://{canary}@example.com/", "POST", {}),
        Request(f"http://localhost/{canary}", canary, {}),
        Request(GOOD, "POST", {"X-Foo": f"{canary}\n"}),
        Request(GOOD, "POST", {"Host": canary}),
        Request(GOOD, "POST", {}, {canary: float("nan")}),
        Request(GOOD, "GET", {}, canary),
    ]:
        with pytest.raises(ResonaError) as raised:
            check(request)
        assert canary not in str(raised.value)


@pytest.mark.parametrize("method", ["post", "Post", "POST"])
def test_a_method_is_made_upper_case(method: str) -> None:
    assert normalised(method) == "POST"


def test_a_method_beyond_ascii_stays_as_it_is() -> None:
    # upper() makes OPTIONS of it, and SS of ß.
    assert normalised("opt\u0131ons") == "opt\u0131ons"


@pytest.mark.parametrize(
    ("body", "sent", "content_type"),
    [
        (None, None, None),
        ("a b", b"a b", None),
        ("", b"", None),
        ({"a": [1, "é"]}, b'{"a":[1,"\xc3\xa9"]}', "application/json"),
        (0, b"0", "application/json"),
        (False, b"false", "application/json"),
        ([], b"[]", "application/json"),
    ],
)
def test_a_string_is_sent_as_it_is_and_the_rest_as_compact_json(
    body: object, sent: bytes | None, content_type: str | None
) -> None:
    assert payload(Request(GOOD, "POST", {}, body)) == (sent, content_type)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "a.localhost",
        "printer.local",
        "intranet",
        "0x7f.1",
        "127.1",
        "2130706433",
        "0177.0.0.1",
        "127.0.0.1",
        "[::1]",
        "",
    ],
)
def test_a_private_host_is_refused_by_its_name_alone(host: str) -> None:
    assert refuse_private_host(host) is not None


def test_another_rule_for_hosts_does_not_let_a_number_in_disguise_through() -> None:
    for host in ("0x7f.1", "127.1", "2130706433", "0177.0.0.1", "1.1.1.256"):
        with pytest.raises(InvalidInput):
            check(Request(f"http://{host}/", "POST", {}), refuse_host=lambda host: None)


def test_the_rule_for_hosts_is_asked_about_the_very_host() -> None:
    asked: list[str] = []
    check(
        Request("http://API.Example.com:8080/a", "POST", {}),
        refuse_host=lambda host: asked.append(host),
    )
    assert asked == ["api.example.com"]


def mutated(chance: random.Random, url: str) -> str:
    """Return a URL after one to four edits: a character changed or removed, odd text inserted."""
    odd = "@:/\\?#[]%.-_0x\t \r\n1\u00e9;&=+\uff41\u3002\u2460"
    pieces = [
        "@",
        "//",
        "\\",
        "%00",
        "%2f",
        ":80",
        "127.0.0.1",
        "[::1]",
        "localhost",
        "..",
        ":@",
        "#",
        "?",
        "xn--",
        "0x7f.1",
        "user:",
    ]
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(url))
        match chance.randint(0, 3):
            case 0:
                url = url[:at] + chance.choice(odd) + url[at:]
            case 1:
                url = url[:at] + url[at + 1 :]
            case 2:
                url = url[:at] + chance.choice(pieces) + url[at:]
            case _:
                url = url[:at] + chance.choice(odd) + url[at + 1 :]
    return url


def at_random(chance: random.Random) -> str:
    """Return a URL put together from parts, most of which are right by themselves."""
    labels = [
        "example",
        "com",
        "a-b",
        "x_y",
        "xn--bcher-kva",
        "127",
        "0x7f",
        "1",
        "A",
        "localhost",
        "-a",
        "",
        "a" * 64,
        "é",
    ]
    hosts = [
        ".".join(chance.choices(labels, k=chance.randint(1, 4))),
        "8.8.8.8",
        "[2606:4700::1]",
        "[::1]",
        "[v1.a]",
        "1.2.3",
        "x%41.com",
    ]
    parts = [
        chance.choice(["http", "https", "HTTP", "hTTps", "ftp", "http "]),
        chance.choices(["://", ":/", ":", "//", ":///"], [20, 1, 1, 1, 1])[0],
        chance.choices(["", "a@", "a:b@", "@"], [20, 1, 1, 1])[0],
        chance.choice(hosts),
        chance.choice(
            ["", "", "", ":80", ":8080", ":65535", ":65536", ":0", ":", ":080", ":8080 ", ":+1"]
        ),
        chance.choice(
            [
                "",
                "/",
                "/",
                "/a/../b",
                "/%2e%2e/",
                "//x",
                "/a;b=c",
                "/a@b:c",
                "\\",
                "/%00",
                "/[a]",
                "/{a}|^",
            ]
        ),
        chance.choice(
            ["", "", "?", "?a=b", "?u=http://127.0.0.1/", "?a@b", "?[::1]", "?%0a", "?%", "?a=b?c"]
        ),
        chance.choices(["", "#", "#a"], [20, 1, 1])[0],
    ]
    return "".join(parts)


def test_urllib3_and_urllib_read_every_accepted_url_as_we_do() -> None:
    chance = random.Random(5)
    seeds = [attack["url"] for attack in attacks.load("urls") if len(attack["url"]) < 100]
    accepted = 0
    for number in range(URLS):
        url = at_random(chance) if number % 2 else mutated(chance, chance.choice(seeds))
        asked: list[str] = []
        try:
            check(Request(url, "POST", {}), refuse_host=asked.append)
        except InvalidInput:
            continue
        accepted += 1
        ours = asked[0].lower()
        theirs, standard = urllib3.util.parse_url(url), urlsplit(url)
        assert theirs.host is not None
        assert theirs.host.lower() == ours, url
        assert (standard.hostname or "") == ours.strip("[]"), url
        assert theirs.port == standard.port, url
        assert theirs.scheme == standard.scheme, url
        assert (theirs.path or "").count("?") == 0 and (theirs.query is None) == ("?" not in url), (
            url
        )
        assert (
            theirs.auth is None
            and theirs.fragment is None
            and standard.username is None
            and not standard.fragment
        ), url
    # Or the test would say nothing.
    assert accepted > URLS / 50

"""Secrets in requests: `{{secret:NAME}}` stands for a value that is put in when an attempt is sent,
and nowhere else.

A tenant's secrets are values that its jobs name; its signing secret is what Standard Webhooks
signatures are made with.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import quote, quote_plus

from chalicelib.domain.errors import FieldError
from chalicelib.domain.request import Request

SECRET_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
LARGEST_SECRET = 4096
MASK = "***"
# For so long what is sent is signed with the old signing secret too.
OVERLAP = timedelta(hours=24)
MOST_PREVIOUS = 4

_PLACEHOLDER = re.compile(r"\{\{secret:([^{}]*)\}\}", re.ASCII)
# What RFC 3986 allows in a path, but for the percent sign.
_PATH_SAFE = "/:@!$&'()*+,;=~"


@dataclass(frozen=True, slots=True)
class SecretDates:
    """A secret as it may be shown: its name, and when it was first put and last replaced."""

    name: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SigningSecrets:
    """A tenant's signing secret, `whsec_…`, and those it has replaced, the latest first, each with
    the time until which it signs too.
    """

    current: str
    previous: tuple[tuple[str, datetime], ...] = ()

    def in_force(self, now: datetime) -> tuple[str, ...]:
        """Return what an attempt is signed with now, the current one first."""
        return (self.current, *(secret for secret, until in self.previous if until > now))

    def rotated(self, fresh: str, now: datetime) -> SigningSecrets:
        """Return them with `fresh` as the current one; what a rotation replaced stays in force when
        it is repeated for a lost answer.
        """
        kept = [(secret, until) for secret, until in self.previous if until > now]
        return SigningSecrets(fresh, ((self.current, now + OVERLAP), *kept)[:MOST_PREVIOUS])


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request is signed with (`whsec_…`, the current one first), and the secrets in it, to
    be hidden in what comes back.
    """

    signing: tuple[str, ...]
    hidden: tuple[str, ...] = ()


class SecretMissing(Exception):
    """The request names a secret that does not exist; `name` is its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"the secret {name[:64]} does not exist")


def names_in(request: Request) -> frozenset[str]:
    """Return the names of the secrets that a request names; what cannot be a name is left out."""
    return frozenset(
        name
        for _, text in _texts(request)
        for name in _PLACEHOLDER.findall(text)
        if SECRET_NAME.fullmatch(name)
    )


def wrong_placeholders(request: Request) -> Iterator[FieldError]:
    """Yield what is wrong with the placeholders of a request that is being written."""
    for field, text in _texts(request):
        for name in _PLACEHOLDER.findall(text):
            if not SECRET_NAME.fullmatch(name):
                yield FieldError(
                    field, "{{secret:NAME}} needs a name of 1 to 64 of A-Z a-z 0-9 _ -"
                )
    scheme, _, rest = request.url.partition("://")
    if "{{secret:" in scheme + re.split("[/?#]", rest, maxsplit=1)[0]:
        yield FieldError(
            "request.url", "a secret may stand in the path and in the query, not in the host"
        )


def missing_secrets(request: Request, missing: Iterable[str]) -> Iterator[FieldError]:
    """Yield an error for each place that names one of the secrets that do not exist."""
    absent = set(missing)
    for field, text in _texts(request):
        for name in dict.fromkeys(_PLACEHOLDER.findall(text)):
            if name in absent:
                yield FieldError(
                    field, f"the secret {name} does not exist; PUT /secrets/{name} first"
                )


def _texts(request: Request) -> Iterator[tuple[str, str]]:
    # Rows may be older than the door that refuses what is no text; the check before sending refuses
    # it once more.
    if isinstance(request.url, str):
        yield "request.url", request.url
    for name, value in request.headers.items() if isinstance(request.headers, Mapping) else ():
        if isinstance(value, str):
            yield f"request.headers.{name}", value
    for text in _strings(request.body):
        yield "request.body", text


def _strings(body: object) -> Iterator[str]:
    if isinstance(body, str):
        yield body
    elif isinstance(body, Mapping):
        for name, value in body.items():
            yield from _strings(name)
            yield from _strings(value)
    elif isinstance(body, list):
        for value in body:
            yield from _strings(value)


def resolved(request: Request, values: Mapping[str, str]) -> Request:
    """Return the request with the values in the places of their names. Raises SecretMissing.

    In a query a value is percent-encoded whole; in a path all but what a path may hold, slashes
    among it; in a JSON body it becomes part of the string that it stands in. What a value itself
    says is never looked into for further names.
    """

    def put(text: str, encode: Callable[[str], str] = str) -> str:
        return _PLACEHOLDER.sub(lambda found: encode(_value(values, found[1])), text)

    if not any(_PLACEHOLDER.search(text) for _, text in _texts(request)):
        return request
    path, mark, query = request.url.partition("?")
    url = (
        put(path, lambda value: quote(value, safe=_PATH_SAFE))
        + mark
        + put(query, lambda value: quote(value, safe=""))
    )
    headers = {
        name: put(value) if isinstance(value, str) else value
        for name, value in request.headers.items()
    }
    return replace(request, url=url, headers=headers, body=_with_values(request.body, put))


def _with_values(body: object, put: Callable[[str], str]) -> object:
    if isinstance(body, str):
        return put(body)
    if isinstance(body, Mapping):
        return {put(name): _with_values(value, put) for name, value in body.items()}
    if isinstance(body, list):
        return [_with_values(value, put) for value in body]
    return body


def _value(values: Mapping[str, str], name: str) -> str:
    if name not in values:
        raise SecretMissing(name)
    return values[name]


class Mask:
    """Hides values in what a target sent back, also where it has percent-encoded, JSON-escaped,
    HTML-escaped or base64-encoded them.

    The target chooses the text and the tenant the values, so each form is looked for by itself, in
    time that grows with the text alone: an expression of them all would try at every place, and
    other jobs wait for it.
    """

    def __init__(self, values: Iterable[str]) -> None:
        self._forms = frozenset(form for value in values for form in _forms(value) if form)
        self._longest = max(map(len, self._forms), default=0)

    def body(self, data: bytes, keep: int) -> bytes:
        """Return what is kept of the first `keep` bytes, values hidden: also one that begins before
        their end and goes on behind it.
        """
        kept, at = list[bytes](), 0
        for start, end in sorted(self._places(data[: keep + self._longest])):
            if start >= keep:
                break
            if start >= at:
                kept += [data[at:start], MASK.encode()]
            at = max(at, end)
        return b"".join([*kept, data[at:keep]])[:keep]

    def _places(self, data: bytes) -> Iterator[tuple[int, int]]:
        for form in self._forms:
            at = data.find(form)
            while at >= 0:
                yield at, at + len(form)
                at = data.find(form, at + len(form))

    def header(self, text: str, keep: int | None = None) -> str:
        """Return what is kept of a header's name or value, all if `keep` is None; http.client has
        read it as Latin-1.
        """
        data = text.encode("latin-1", "replace")
        return self.body(data, len(data) * len(MASK) if keep is None else keep).decode("latin-1")


def _forms(value: str) -> set[bytes]:
    percent = {
        quote(value, safe=""),
        quote(value, safe=_PATH_SAFE),
        quote(value),
        quote_plus(value),
    }
    in_json = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    escaped = {
        *in_json,
        *(text.replace("/", "\\/") for text in in_json),
        html.escape(value),
        html.escape(value, quote=False),
    }
    texts = {
        value,
        *percent,
        *(re.sub("%..", lambda found: found[0].lower(), one) for one in percent),
        *escaped,
    }
    raw = value.encode()
    return {text.encode() for text in texts} | {
        base64.b64encode(raw),
        base64.urlsafe_b64encode(raw).rstrip(b"="),
    }

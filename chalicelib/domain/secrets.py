"""Secrets and other values in requests: find and replace placeholders; rotate signing secrets.

The placeholder `{{secret:NAME}}` is replaced only when an attempt is sent, so that a stored request
holds no secret. `domain.run_values` has the other placeholders. A tenant also has a signing secret,
with which its requests are signed (Standard Webhooks).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from urllib.parse import quote

from chalicelib.domain.errors import FieldError, RotatedTooOften
from chalicelib.domain.request import Request
from chalicelib.domain.run_values import OF_RUN, RUN_VALUES, for_header, for_url

SECRET_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
LARGEST_SECRET = 4096
# After a rotation requests are signed with the old secret too for this long.
OVERLAP = timedelta(hours=24)
MOST_PREVIOUS = 4
# A request may name this many secrets. This many earlier values of each are hidden in responses for
# 24 hours.
MOST_NAMED = 20
MOST_REPLACED = 2

HEADER_VALUE = "put visible ASCII characters, with spaces only between them"
_OPENING = re.compile(r"\{\{(?:secret:|run\.|job\.)")
_PLACEHOLDER = re.compile(r"\{\{secret:([^{}]*)\}\}", re.ASCII)
_ANY = re.compile(r"\{\{(?:secret:(?P<secret>[^{}]*)|(?P<run>(?:run|job)\.[^{}]*))\}\}", re.ASCII)
Encode = Callable[[str], str]
# Characters that RFC 3986 allows in a path, without the percent sign.
_PATH_SAFE = "/:@!$&'()*+,;=~"


@dataclass(frozen=True, slots=True)
class SecretDates:
    """A secret's name, and when it was created and last replaced: all that the API shows."""

    name: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SigningSecrets:
    """A tenant's signing secret, `whsec_…`, and its replaced ones, latest first.

    Each replaced secret has the time until which it stays in force.
    """

    current: str
    previous: tuple[tuple[str, datetime], ...] = ()

    def in_force(self, now: datetime) -> tuple[str, ...]:
        """Return the secrets that sign an attempt now, the current one first."""
        return (self.current, *(secret for secret, until in self.previous if until > now))

    def rotated(self, fresh: str, now: datetime) -> SigningSecrets:
        """Return the secrets with `fresh` as the current one.

        Raises RotatedTooOften if a secret that is still in force would have to be dropped.
        """
        kept = [(secret, until) for secret, until in self.previous if until > now]
        if len(kept) >= MOST_PREVIOUS:
            raise RotatedTooOften(MOST_PREVIOUS, min(until for _, until in kept))
        return SigningSecrets(fresh, ((self.current, now + OVERLAP), *kept))


@dataclass(frozen=True, slots=True)
class Credentials:
    """The signing secrets of a request, and the secret values to hide in its response.

    `signing` are `whsec_…`, the current one first.
    """

    signing: tuple[str, ...]
    hidden: tuple[str, ...] = ()


class SecretMissing(Exception):
    """The request names a secret that does not exist; `name` is its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"the secret {name[:64]} does not exist")


def names_in(request: Request) -> frozenset[str]:
    """Return the names in a request's placeholders, without those that cannot be names."""
    return frozenset(
        name
        for _, text in _texts(request)
        for name in _PLACEHOLDER.findall(text)
        if SECRET_NAME.fullmatch(name)
    )


def wrong_placeholders(request: Request) -> Iterator[FieldError]:
    """Yield an error for each invalid placeholder of a request."""
    for field, text in _texts(request):
        for name in _PLACEHOLDER.findall(text):
            if not SECRET_NAME.fullmatch(name):
                yield FieldError(
                    field, "{{secret:NAME}} needs a name of 1 to 64 of A-Z a-z 0-9 _ -"
                )
        for name in OF_RUN.findall(text):
            if name not in RUN_VALUES:
                known = ", ".join(RUN_VALUES)
                yield FieldError(field, f"{{{{{name[:40]}}}}} is not known; known: {known}")
        unclosed = _OPENING.search(OF_RUN.sub(" ", _PLACEHOLDER.sub(" ", text)))
        if unclosed:
            yield FieldError(
                field, f"{unclosed[0]} has no }}}} after its name: write {unclosed[0]}NAME}}}}"
            )
    named = len(names_in(request))
    if named > MOST_NAMED:
        yield FieldError(
            "request.body", f"the request may name at most {MOST_NAMED} secrets, and names {named}"
        )
    scheme, _, rest = request.url.partition("://")
    if _OPENING.search(scheme + re.split("[/?#]", rest, maxsplit=1)[0]):
        yield FieldError(
            "request.url", "a placeholder may stand in the path and in the query, not in the host"
        )


def has_placeholder(value: object) -> bool:
    """Return whether a text, or a string within a JSON value, has a placeholder."""
    return any(_ANY.search(text) for text in _strings(value))


def names_in_headers(request: Request) -> frozenset[str]:
    """Return the names of the secrets in the headers of a request."""
    return names_in(Request("", request.method, request.headers))


def fits_header(value: str) -> bool:
    """Return whether a header can carry a value: visible ASCII, with spaces only inside."""
    return re.fullmatch("[!-~]([ -~]*[!-~])?", value) is not None


def unfit_secrets(request: Request, unfit: Iterable[str]) -> Iterator[FieldError]:
    """Yield an error for each header with a secret whose value no header can carry."""
    names = set(unfit)
    for field, value in _texts(replace(request, url="", body=None)):
        for name in dict.fromkeys(_PLACEHOLDER.findall(value)):
            if name in names:
                yield FieldError(
                    field,
                    f"the value of the secret {name} cannot stand in a header: {HEADER_VALUE}",
                )


def missing_secrets(request: Request, missing: Iterable[str]) -> Iterator[FieldError]:
    """Yield an error for each place that names a secret that does not exist."""
    absent = set(missing)
    for field, text in _texts(request):
        for name in dict.fromkeys(_PLACEHOLDER.findall(text)):
            if name in absent:
                yield FieldError(
                    field, f"the secret {name} does not exist; PUT /secrets/{name} first"
                )


def _texts(request: Request) -> Iterator[tuple[str, str]]:
    # Skip values that are no text: jobs stored before the API refused them may have some, and
    # `request.check` refuses them before sending.
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


def resolved(
    request: Request, values: Mapping[str, str], of_run: Mapping[str, str] = MappingProxyType({})
) -> Request:
    """Return the request with each placeholder replaced by its value. Raises SecretMissing.

    `values` are those of secrets, `of_run` those of `domain.run_values`. In the URL values are
    percent-encoded: in the query all reserved characters, in the path those that a path does not
    allow, so the slashes of a secret stay, and those of another value do not. In a header values
    other than secrets are percent-encoded where they have to be. In a JSON body a value becomes
    part of the string around it. Placeholders inside values are not replaced.
    """

    def put(text: str, secret: Encode = str, other: Encode = str) -> str:
        def value(found: re.Match[str]) -> str:
            if found["secret"] is not None:
                return secret(_value(values, found["secret"]))
            # A name that is not known is text, as it was when the job was registered.
            return other(of_run[found["run"]]) if found["run"] in of_run else found[0]

        return _ANY.sub(value, text)

    if not any(_ANY.search(text) for _, text in _texts(request)):
        return request
    path, mark, query = request.url.partition("?")
    url = (
        put(path, lambda value: quote(value, safe=_PATH_SAFE), for_url)
        + mark
        + put(query, lambda value: quote(value, safe=""), for_url)
    )
    headers = {
        name: put(value, other=for_header) if isinstance(value, str) else value
        for name, value in request.headers.items()
    }
    return replace(request, url=url, headers=headers, body=_with_values(request.body, put))


def _with_values(body: object, put: Encode) -> object:
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

"""The one door: who calls, what they send, and every error as a problem document."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, urlencode

from chalice.app import Blueprint, CaseInsensitiveMapping, Request, Response

from chalicelib.api.cors_headers import shared
from chalicelib.api.json_body import parse
from chalicelib.api.models.validation import hint
from chalicelib.api.preconditions import Preconditions, read_preconditions
from chalicelib.api.problems import NoKey, Refusal, answer_to, problem
from chalicelib.config import read_origins
from chalicelib.domain.api_keys import Scope
from chalicelib.domain.errors import FieldError, InvalidInput, ResonaError, Unavailable
from chalicelib.domain.exact_json import write
from chalicelib.handlers.authorizer import authorize
from chalicelib.runtime.once import Once
from chalicelib.telemetry.invocation import invocation
from chalicelib.usecases.scheduling import Scheduling

log = logging.getLogger("resona")

MAX_REQUEST = 256 * 1024
LOCAL_TENANT = "local"
_HOST = re.compile(
    r"[A-Za-z0-9.\-]{1,253}(:[0-9]{1,5})?|\[[0-9a-fA-F:]{2,45}\](:[0-9]{1,5})?", re.ASCII
)


def _not_composed(function_arn: str) -> Scheduling:
    del function_arn
    raise RuntimeError("app.py names the composition root before the first call")


class Backend:
    """What the routes are served with: the use cases, the origins that may call, and whether a key
    is needed.

    app.py names the composition root's function; tests and the laptop set what they serve with.
    """

    def __init__(self) -> None:
        self.scheduling = Once(_not_composed)
        self.needs_keys = True
        self._origins: frozenset[str] | None = None

    def compose(self, make: Callable[[str], Scheduling]) -> None:
        """Make the use cases with this function when they are first needed."""
        self.scheduling = Once(make)

    @property
    def origins(self) -> frozenset[str]:
        """Return the origins whose pages may call. Raises SettingMissing."""
        return read_origins() if self._origins is None else self._origins

    def use(
        self,
        scheduling: Scheduling,
        *,
        stage: str,
        needs_keys: bool = False,
        origins: frozenset[str] | None = frozenset(),
    ) -> None:
        """Serve with these use cases. Only the stage `local` can be open to callers without a key.

        `origins` None: those of the environment.
        """
        self.scheduling.use(scheduling)
        self.needs_keys, self._origins = needs_keys or stage != "local", origins


backend = Backend()
View = Callable[..., Response]

# Says why a query parameter's value is wrong, None if it is not.
Judge = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a query parameter may be: as the door judges it, and as a JSON schema says it, with its
    description.

    Whether one that `is_required` is there is for the view to judge.
    """

    judge: Judge
    schema: Mapping[str, Any]
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """What a route serves, and what it says of itself: `chalicelib.api.openapi.document` makes
    OpenAPI of it.

    `scope` None: it is open to all. `body` and `answers` (by status) name models of `schemas`,
    `inputs` and `shapes`: by name, since to load these costs what only the description needs; an
    answer None has no body. `takes` and `gives` are headers of the request and of a successful
    answer. `refuses` has the statuses that do not follow from the rest.
    """

    method: str
    path: str
    view: View
    scope: Scope | None
    query: Mapping[str, Rule]
    body: str | None
    answers: Mapping[int, str | None]
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    refuses: tuple[int, ...]


# Every operation by its method and path: this is all there is.
operations: dict[tuple[str, str], Operation] = {}


@dataclass(frozen=True, slots=True)
class Call:
    """A request that has come through the door: its caller is known, its query has no unknown
    parameter.

    `preconditions`: what its conditional headers ask, for the view to judge on the state that it
    acts on.
    """

    request: Request
    tenant: str
    query: Mapping[str, str]
    preconditions: Preconditions

    def document(self) -> object:
        """Return the body. Raises NotJson, or Refusal for what is not application/json."""
        content_type = self.request.headers.get("content-type", "")
        if content_type.split(";")[0].strip().lower() != "application/json":
            raise Refusal(415, "send the body as application/json")
        return parse(_raw_body(self.request))

    @property
    def scheduling(self) -> Scheduling:
        """Return the use cases. Raises SettingMissing."""
        # Account and region are in no variable of Lambda's.
        arn = getattr(self.request.lambda_context, "invoked_function_arn", "")
        return backend.scheduling.get(arn)

    def header(self, name: str) -> str | None:
        """Return a header's value, None if it was not sent."""
        value: str | None = self.request.headers.get(name)
        return value

    @property
    def path(self) -> str:
        """Return the path that was called; a slash at its end says nothing."""
        path: str = self.request.context.get("path", "/")
        return path.rstrip("/")

    @property
    def url(self) -> str:
        """Return the URL that was called, without its query; only the path when the host is not to
        be trusted.
        """
        host = self.header("host") or ""
        if not _HOST.fullmatch(host):
            return self.path
        scheme = "https" if self.header("x-forwarded-proto") == "https" else "http"
        return f"{scheme}://{host}{self.path}"

    def next_link(self, cursor: str) -> str:
        """Return the Link header that leads to the next page, with this page's filters."""
        query = urlencode({**self.query, "cursor": cursor})
        return f'<{self.url}?{query}>; rel="next"'


def route(
    blueprint: Blueprint,
    path: str,
    method: str,
    *,
    answers: Mapping[int, str | None],
    body: str | None = None,
    query: Mapping[str, Rule] = MappingProxyType({}),
    takes: tuple[str, ...] = (),
    gives: tuple[str, ...] = (),
    refuses: tuple[int, ...] = (),
    scope: Scope | None = None,
    open_to_all: bool = False,
) -> Callable[[View], View]:
    """Serve a view at a path. It gets a Call, then the path's parameters; `query` has the
    parameters it knows, each with its rule.

    A key needs the scope `read` for a GET and `write` for everything else, unless `scope` says
    otherwise; what is open to all needs no key. A GET route serves HEAD, too. The view makes the
    same response with its body, and the HTTP server (API Gateway, or the laptop's) drops the body:
    Content-Length is then that of GET (RFC 9110, 8.6). The rest is what `Operation` says of it.
    Everything a view raises on purpose becomes a problem document here, since Chalice would make a
    500 of it.
    """

    needed = scope or (Scope.READ if method == "GET" else Scope.WRITE)

    def decorate(view: View) -> View:
        asked = None if open_to_all else needed
        operations[method, path] = Operation(
            method, path, view, asked, query, body, answers, takes, gives, refuses
        )

        @functools.wraps(view)
        def served(**names: str) -> Response:
            request = blueprint.current_request
            try:
                # Before anything is done: a setting that cannot be read must not spoil the answer
                # to what was.
                headers = shared(request.headers.get("origin"), backend.origins)
            except Exception:
                return defect()
            response = answered(request, names)
            response.headers.update(headers)
            return response

        def answered(request: Request, names: Mapping[str, str]) -> Response:
            # API Gateway hands over what stands in a path as it was sent.
            names = {name: unquote(value) for name, value in names.items()}
            try:
                tenant = "" if open_to_all else _tenant(request, needed)
                if len(_raw_body(request)) > MAX_REQUEST:
                    raise Refusal(413, "the request is larger than 256 KiB")
                return view(_call(request, tenant, query, takes), **names)
            except Unavailable as error:
                log.warning("request.unavailable", exc_info=True)
                return answer_to(error)
            except ResonaError as error:
                return answer_to(error)
            except Exception:
                # Chalice would make a 500 of its own of it, and no problem document.
                return defect()

        # Chalice names views after functions and checks content types before them; the door does
        # that itself.
        name, authorizer = f"{view.__module__}.{view.__name__}", None if open_to_all else authorize
        methods = ["GET", "HEAD"] if method == "GET" else [method]
        blueprint.route(path, methods=methods, name=name, content_types=[], authorizer=authorizer)(
            served
        )
        return view

    return decorate


def observed(request: Request, get_response: Callable[[Request], Response]) -> Response:
    """Be invoked by API Gateway: Chalice has this around every request."""
    caller = request.context.get("authorizer") or {}
    ids = {
        "correlation_id": request.context.get("requestId"),
        "tenant": caller.get("tenant"),
        "key_id": caller.get("key_id"),
    }
    with invocation("api", request.lambda_context, **ids):
        return get_response(request)


def defect() -> Response:
    """Answer to the exception that is being handled: it is ours, so the client gets no details; the
    log gets its kind and place.
    """
    log.exception("request.failed")
    return problem(500, "Resona failed; the failure is in its log")


def _tenant(request: Request, needed: Scope) -> str:
    """Return whose jobs the call is about.

    Raises NoKey, and Refusal for a key without the scope.
    """
    # What `chalicelib.handlers.authorizer` said; no header of the client's gets there.
    caller = request.context.get("authorizer") or {}
    tenant = str(caller.get("tenant", ""))
    if not tenant:
        if backend.needs_keys:
            raise NoKey
        return LOCAL_TENANT
    granted = str(caller.get("scopes", "")).split()
    if needed not in granted:
        raise Refusal(
            403,
            f"this needs a key with the scope {needed}; this key has {' and '.join(granted) or 'none'}",
        )
    return tenant


def _call(request: Request, tenant: str, known: Mapping[str, Rule], taken: tuple[str, ...]) -> Call:
    """Check the query and the conditional headers, and return the call.

    Raises InvalidInput, which names every error.
    """
    query, errors = _query(request, known)
    reads = request.method in ("GET", "HEAD")
    preconditions, more = read_preconditions(_joined_headers(request), taken, reads=reads)
    errors += more
    if errors:
        raise InvalidInput(errors)
    return Call(request, tenant, query, preconditions)


def _joined_headers(request: Request) -> CaseInsensitiveMapping:
    """Return the headers, the lines of one name joined by commas: Chalice has only the last line."""
    lines = request.to_original_event().get("multiValueHeaders") or {}
    return CaseInsensitiveMapping(
        {
            **dict(request.headers.items()),
            **{name: ",".join(values) for name, values in lines.items()},
        }
    )


def _query(request: Request, known: Mapping[str, Rule]) -> tuple[dict[str, str], list[FieldError]]:
    given = request.query_params
    errors: list[FieldError] = []
    values: dict[str, str] = {}
    if not given:
        return values, errors
    for name in given:
        sent = given.getlist(name)
        if name not in known:
            errors.append(FieldError(name, f"unknown query parameter; {hint(name, known)}"))
        elif len(sent) != 1:
            errors.append(FieldError(name, "give it once"))
        else:
            values[name] = sent[0]
            why = known[name].judge(sent[0])
            errors += [FieldError(name, why)] if why else []
    return values, errors


def _raw_body(request: Request) -> bytes:
    raw = request.raw_body
    return raw if isinstance(raw, bytes) else (raw or "").encode("utf-8", "surrogatepass")


def answer(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    """Make a JSON answer; `body` None makes an empty one. A str is JSON already."""
    if body is None:
        return Response(body="", status_code=status, headers=dict(headers or {}))
    text = body if isinstance(body, str) else write(body)
    return Response(
        body=text,
        status_code=status,
        headers={"Content-Type": "application/json", **(headers or {})},
    )


def any_text(description: str) -> Rule:
    """Return the rule of what the view itself judges: every text will do."""
    # The signature of a judge
    return Rule(lambda value: None, {"type": "string", "description": description})  # noqa: ARG005


def one_of(values: Iterable[str], description: str) -> Rule:
    """Return the rule that takes these values alone."""
    known = tuple(str(value) for value in values)
    return Rule(
        lambda value: None if value in known else f"must be one of {', '.join(known)}",
        {"type": "string", "enum": list(known), "description": description},
    )

"""Routes: check a call's key, query and size, call the view, turn errors into problem documents."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import unquote, urlencode

from chalice.app import Blueprint, CaseInsensitiveMapping, Request, Response

from chalicelib.api.cors_headers import shared
from chalicelib.api.json_body import forbidden_fields, parse
from chalicelib.api.preconditions import Preconditions, read_preconditions
from chalicelib.api.problems import LARGEST_PROBLEM, NoKey, Refusal, answer_to, problem
from chalicelib.api.query import JudgeTogether, Rule, no_errors, read_query
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
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
_HOST = re.compile(
    r"[A-Za-z0-9.\-]{1,253}(:[0-9]{1,5})?|\[[0-9a-fA-F:]{2,45}\](:[0-9]{1,5})?", re.ASCII
)


def _not_composed(function_arn: str) -> Scheduling:
    del function_arn
    raise RuntimeError("app.py names the composition root before the first call")


class Backend:
    """The use cases that routes call, the allowed origins, and whether a key is required.

    app.py sets the composition root's function; tests and the local server set their own use cases.
    """

    def __init__(self) -> None:
        self.scheduling = Once(_not_composed)
        self.needs_keys = True
        self._origins: frozenset[str] | None = None

    def compose(self, make: Callable[[str], Scheduling]) -> None:
        """Set the function that makes the use cases on first use."""
        self.scheduling = Once(make)

    @property
    def origins(self) -> frozenset[str]:
        """Return the origins whose pages may call the API. Raises SettingMissing."""
        return read_origins() if self._origins is None else self._origins

    def use(
        self,
        scheduling: Scheduling,
        *,
        stage: str,
        needs_keys: bool = False,
        origins: frozenset[str] | None = frozenset(),
    ) -> None:
        """Serve with these use cases. Only the stage `local` may serve callers without a key.

        With `origins` None they are read from the environment.
        """
        self.scheduling.use(scheduling)
        self.needs_keys, self._origins = needs_keys or stage != "local", origins


backend = Backend()
View = Callable[..., Response]


@dataclass(frozen=True, slots=True)
class Operation:
    """A route and its description, from which `openapi.document` makes OpenAPI.

    With `scope` None it needs no key. `body` and `answers` (by status) are names of request and
    response models, because some of their modules are loaded only for OpenAPI. An answer None has
    no body. `text_body` is a media type that the view takes too. `takes` and `gives` are headers of
    the request and of a successful answer. `refuses` has the error statuses that do not follow from
    the other fields.
    """

    method: str
    path: str
    view: View
    scope: Scope | None
    query: Mapping[str, Rule]
    together: JudgeTogether
    body: str | None
    text_body: str | None
    answers: Mapping[int, str | None]
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    refuses: tuple[int, ...]


# Every operation of the API by its method and path; the console's routes are none.
operations: dict[tuple[str, str], Operation] = {}


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose key and query have been checked.

    The view checks the `preconditions` on the state that it changes.
    """

    request: Request
    tenant: str
    query: Mapping[str, str]
    preconditions: Preconditions

    def document(self) -> object:
        """Return the body. Raises NotJson, or Refusal if it is not application/json."""
        if self.media_type != "application/json":
            raise Refusal(415, "send the body as application/json")
        return parse(raw_body(self.request))

    @property
    def media_type(self) -> str:
        """Return the media type of the body, in lower case."""
        return (self.header("content-type") or "").split(";")[0].strip().lower()

    @property
    def scheduling(self) -> Scheduling:
        """Return the use cases. Raises SettingMissing."""
        # Lambda sets no environment variable with the account; the function's ARN contains it.
        arn = getattr(self.request.lambda_context, "invoked_function_arn", "")
        return backend.scheduling.get(arn)

    def header(self, name: str) -> str | None:
        """Return a header's value, None if it was not sent."""
        value: str | None = self.request.headers.get(name)
        return value

    @property
    def path(self) -> str:
        """Return the path that was called, without a slash at its end."""
        path: str = self.request.context.get("path", "/")
        return path.rstrip("/")

    @property
    def url(self) -> str:
        """Return the URL without its query; only the path if the host is invalid."""
        host = self.header("host") or ""
        if not _HOST.fullmatch(host):
            return self.path
        scheme = "https" if self.header("x-forwarded-proto") == "https" else "http"
        return f"{scheme}://{host}{self.path}"

    @property
    def api_url(self) -> str:
        """Return the URL of the API, without a slash at its end; no host if it is invalid."""
        segments: str = self.request.context.get("resourcePath", "/")
        return self.url.rsplit("/", segments.count("/"))[0]

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
    text_body: str | None = None,
    query: Mapping[str, Rule] = MappingProxyType({}),
    together: JudgeTogether = no_errors,
    takes: tuple[str, ...] = (),
    gives: tuple[str, ...] = (),
    refuses: tuple[int, ...] = (),
    scope: Scope | None = None,
    open_to_all: bool = False,
    is_described: bool = True,
) -> Callable[[View], View]:
    """Serve a view at a path. It is given a Call and the path's parameters.

    `query` has the rule of each parameter that the route knows, `together` the rule of those that
    were sent. A key needs the scope `read` for a
    GET and `write` for other methods, unless `scope` says otherwise; a route that is `open_to_all`
    needs no key. OpenAPI leaves out a route that is not `is_described`: a page's own files are no
    part of the API. `Operation` documents the other arguments.
    """
    needed = None if open_to_all else scope or (Scope.READ if method == "GET" else Scope.WRITE)

    def decorate(view: View) -> View:
        operation = Operation(
            method,
            path,
            view,
            needed,
            query,
            together,
            body,
            text_body,
            answers,
            takes,
            gives,
            refuses,
        )
        if is_described:
            operations[method, path] = operation
        _serve(blueprint, operation)
        return view

    return decorate


def _serve(blueprint: Blueprint, operation: Operation) -> None:
    """Let Chalice call the operation's view.

    A GET route serves HEAD too, with the body: the HTTP server drops it, so that Content-Length is
    that of GET (RFC 9110, 8.6).
    """
    view, method = operation.view, operation.method

    @functools.wraps(view)
    def served(**names: str) -> Response:
        request = blueprint.current_request
        try:
            # Read the setting before the view changes anything, since this may fail.
            headers = shared(request.headers.get("origin"), backend.origins)
        except Exception:
            return defect()
        response = _answer_call(operation, request, names)
        if "Vary" in response.headers and "Vary" in headers:
            headers["Vary"] = f"{response.headers['Vary']}, {headers['Vary']}"
        response.headers.update(headers)
        return response

    blueprint.route(
        operation.path,
        methods=["GET", "HEAD"] if method == "GET" else [method],
        # Chalice would name it after the function, which is unique in its module only.
        name=f"{view.__module__}.{view.__name__}",
        # Chalice would check content types before the key.
        content_types=[],
        authorizer=authorize if operation.scope else None,
    )(served)


def _answer_call(operation: Operation, request: Request, names: Mapping[str, str]) -> Response:
    """Call the view, and turn every exception into a problem document.

    Chalice would answer an exception with a 500 of its own.
    """
    try:
        tenant = _tenant(request, operation.scope) if operation.scope else ""
        if len(raw_body(request)) > MAX_REQUEST:
            raise Refusal(413, "the request is larger than 256 KiB")
        call = _call(request, tenant, operation)
        # API Gateway passes the parts of a path as they were sent, percent-encoded.
        return operation.view(call, **{name: unquote(value) for name, value in names.items()})
    except Exception as error:
        # Whatever is raised, the client gets a problem document; an unknown error is a 500.
        return refuse(error)


def refuse(error: Exception, most_bytes: int = LARGEST_PROBLEM) -> Response:
    """Return the problem document for an exception, of at most `most_bytes`.

    Log it if a service or Resona itself has failed.
    """
    if not isinstance(error, ResonaError):
        return defect()
    if isinstance(error, Unavailable):
        log.warning("request.unavailable", exc_info=error)
    return answer_to(error, most_bytes)


def observed(request: Request, get_response: Callable[[Request], Response]) -> Response:
    """Log and measure a request: Chalice calls this middleware around every request."""
    caller = request.context.get("authorizer") or {}
    ids = {
        "correlation_id": request.context.get("requestId"),
        "tenant": caller.get("tenant"),
        "key_id": caller.get("key_id"),
    }
    with invocation("api", request.lambda_context, **ids):
        return get_response(request)


def defect() -> Response:
    """Return a 500 for the exception that is being handled, and log it; clients get no details."""
    log.exception("request.failed")
    return problem(500, "Resona failed; the failure is in its log")


def _tenant(request: Request, needed: Scope) -> str:
    """Return the caller's tenant. Raises NoKey, and Refusal for a key without the scope."""
    # API Gateway puts the authorizer's answer here; clients cannot set it by a header.
    caller = request.context.get("authorizer") or {}
    tenant = str(caller.get("tenant", ""))
    if not tenant:
        if backend.needs_keys:
            raise NoKey
        return LOCAL_TENANT
    granted = str(caller.get("scopes", "")).split()
    if needed not in granted:
        has = " and ".join(granted) or "none"
        raise Refusal(403, f"this needs a key with the scope {needed}; this key has {has}")
    return tenant


def _call(request: Request, tenant: str, operation: Operation) -> Call:
    """Check the query, the headers and whether there may be a body; return the call.

    Raises InvalidInput, which names every error.
    """
    query, errors = read_query(request.query_params, operation.query, operation.together)
    reads = request.method in ("GET", "HEAD")
    preconditions, more = read_preconditions(_joined_headers(request), operation.takes, reads=reads)
    errors += more
    if "Idempotency-Key" in operation.takes:
        key: str | None = request.headers.get("idempotency-key")
        if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
            errors.append(
                FieldError("Idempotency-Key", "must be 1 to 255 visible ASCII characters")
            )
    if operation.body is None and operation.method != "GET":
        errors += forbidden_fields(raw_body(request), operation.query)
    if errors:
        errors += [
            FieldError(name, why)
            for name, value in query.items()
            if (why := operation.query[name].judge_beside(value))
        ]
        raise InvalidInput(errors)
    return Call(request, tenant, query, preconditions)


def _joined_headers(request: Request) -> CaseInsensitiveMapping:
    """Return the headers, repeated ones joined by commas: Chalice keeps only the last value."""
    lines = request.to_original_event().get("multiValueHeaders") or {}
    return CaseInsensitiveMapping(
        {
            **dict(request.headers.items()),
            **{name: ",".join(values) for name, values in lines.items()},
        }
    )


def raw_body(request: Request) -> bytes:
    """Return the body of a request."""
    raw = request.raw_body
    return raw if isinstance(raw, bytes) else (raw or "").encode("utf-8", "surrogatepass")


def answer(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer. With `body` None it is empty; a str is JSON text already."""
    if body is None:
        return Response(body="", status_code=status, headers=dict(headers or {}))
    text = body if isinstance(body, str) else write(body)
    return Response(
        body=text,
        status_code=status,
        headers={"Content-Type": "application/json", **(headers or {})},
    )

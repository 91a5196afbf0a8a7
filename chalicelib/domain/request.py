"""The HTTP request of a job, and its rules, checked when it is written and before each attempt.

The rules are stricter than RFC 9112 and RFC 3986: a URL in which two parsers may find different
hosts is refused.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from chalicelib.domain.address import AddressClass, classify
from chalicelib.domain.errors import FieldError, InvalidInput, ResonaError
from chalicelib.domain.exact_json import write

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
LARGEST_BODY = 64 * 1024

# Returns why a host may not be called, None if it may.
HostRule = Callable[[str], str | None]

_LONGEST_URL = 2048
_URL = re.compile(r"(?P<scheme>[A-Za-z]+)://(?P<authority>[^/?#]*)(?P<rest>[/?].*)?", re.ASCII)
_AUTHORITY = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:]+\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?", re.ASCII
)
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)", re.ASCII)
_CONTROL_ESCAPE = re.compile(r"%(?:[01][0-9A-Fa-f]|7[Ff])", re.ASCII)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)
_PRIVATE_SUFFIXES = ("localhost", "local", "internal", "home.arpa", "onion")
# The Fetch standard's bad ports, and those of Redis and memcached, which execute commands without
# authentication.
# fmt: off
_BAD_PORTS = frozenset([
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101,
    102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427,
    465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990,
    993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6379, 6566, 6665, 6666,
    6667, 6668, 6669, 6679, 6697, 10080, 11211,
])
# fmt: on

_MOST_HEADERS, _LONGEST_NAME, _LONGEST_VALUE, _LARGEST_HEADERS = 50, 128, 4096, 16 * 1024
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?|", re.ASCII)
# Headers that Resona or the connection sets, or that a proxy or a cloud service trusts.
_RESERVED_HEADERS = frozenset(
    [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "accept-encoding",
        "forwarded",
        "metadata-flavor",
    ]
)
_RESERVED_PREFIXES = (
    "proxy-",
    "x-forwarded-",
    "x-aws-",
    "x-amz-",
    "lambda-",
    "webhook-",
    "resona-",
)


class BodyTooLarge(ResonaError):
    """The body of a job's request is larger than 64 KiB as bytes (413)."""

    def __init__(self, size: int) -> None:
        super().__init__(
            f"request.body has {size} bytes as it would be sent; "
            f"at most {LARGEST_BODY} are possible"
        )


@dataclass(frozen=True, slots=True)
class Request:
    """The request that each attempt sends.

    `method` is in upper case; `body` is any JSON value as `exact_json` reads it, None sends no
    body.
    """

    url: str
    method: str
    headers: Mapping[str, str]
    body: object = None


# The function `check` with its keyword arguments already bound.
RequestCheck = Callable[[Request], None]


def normalised(method: str) -> str:
    """Return a method in upper case. Leave non-ASCII text as it is, so that `check` refuses it."""
    return method.upper() if method.isascii() else method


def payload(request: Request) -> tuple[bytes | None, str | None]:
    """Return the bytes of the body and its default content type.

    The body is None if there is none; the type is None for text and without a body.
    """
    if request.body is None:
        return None, None
    if isinstance(request.body, str):
        return request.body.encode("utf-8"), None
    return write(request.body).encode("utf-8"), "application/json"


def check(
    request: Request, *, refuse_host: HostRule | None = None, https_only: bool = False
) -> None:
    """Check that a request may be sent.

    Raises InvalidInput, which names every wrong field but shows no header's value, or BodyTooLarge.
    """
    errors = list(_errors(request, refuse_host or refuse_private_host, https_only))
    size = 0
    try:
        size = len(payload(request)[0] or b"")
    except (TypeError, ValueError, RecursionError):
        # Jobs written before the API refused it may have a body that is no JSON value, contains NaN
        # or a lone surrogate, or is nested too deeply.
        errors.append(
            FieldError(
                "request.body",
                "must be a JSON value without lone surrogates, NaN, Infinity and very deep nesting",
            )
        )
    if errors:
        raise InvalidInput(errors)
    if size > LARGEST_BODY:
        raise BodyTooLarge(size)


def _errors(request: Request, refuse_host: HostRule, https_only: bool) -> Iterator[FieldError]:
    why = (
        _why_not_url(request.url, refuse_host, https_only)
        if isinstance(request.url, str)
        else "must be a string"
    )
    if why:
        yield FieldError("request.url", why)
    if request.method not in METHODS:
        yield FieldError("request.method", f"must be one of {', '.join(METHODS)}")
    yield from _header_errors(request.headers)
    if request.body is not None and request.method in ("GET", "HEAD"):
        yield FieldError("request.body", f"a {request.method} request has no body")


def _why_not_url(url: str, refuse_host: HostRule, https_only: bool) -> str | None:
    if len(url) > _LONGEST_URL:
        return f"must have at most {_LONGEST_URL} characters"
    if not all("\x21" <= sign <= "\x7e" for sign in url):
        return (
            "must be of visible ASCII characters; write others percent-encoded, and names beyond "
            "ASCII as xn--"
        )
    match = _URL.fullmatch(url)
    if match is None or match["scheme"].lower() not in ("http", "https"):
        return "must be an absolute URL that begins with http:// or https:// and has no fragment"
    if https_only and match["scheme"].lower() != "https":
        return "must begin with https://"
    if "\\" in url:
        return "must have no backslash"
    if "@" in match["authority"]:
        return "must have no user name or password; send them in a header"
    return _why_not_rest(match["rest"] or "") or _why_not_authority(
        url, match["authority"], refuse_host
    )


def _why_not_rest(rest: str) -> str | None:
    """Return what is wrong with path, query and fragment; None if they are valid."""
    if "#" in rest:
        return "must have no fragment"
    if _CONTROL_ESCAPE.search(rest.partition("?")[0]) or _BAD_ESCAPE.search(rest):
        return (
            "must have no percent-encoded control character in its path, and no % without two "
            "hexadecimal digits after it"
        )
    return None


def _why_not_authority(url: str, authority: str, refuse_host: HostRule) -> str | None:
    match = _AUTHORITY.fullmatch(authority)
    if match is None or not match["host"]:
        return "must name a host, and a port only as a number"
    host, port = match["host"], match["port"]
    if port is not None and (int(port) in _BAD_PORTS or int(port) > 65535):
        return f"the port {port} may not be called"
    why = malformed_host(host)
    if why:
        return why
    split = urlsplit(url)
    if split.hostname != host.strip("[]").lower() or split.port != (
        int(port) if port is not None else None
    ):
        return "must name its host so that every parser of URLs finds the same one"
    return refuse_host(host.lower())


def malformed_host(host: str) -> str | None:
    """Return what is wrong with a host as written; None if it is a plain name or address.

    IPv6 addresses are in brackets.
    """
    if host.startswith("["):
        return (
            None
            if as_address(host) is not None
            else "must name an IPv6 address as in [2606:4700::1111]"
        )
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return "must name a host of labels of letters, digits and hyphens"
    # Refuse 0x7f.1, 127.1 and 2130706433, which resolvers read as addresses.
    is_numeric = labels[-1].isdigit() or labels[-1].lower().startswith("0x")
    if is_numeric and as_address(host) is None:
        return "must name an IPv4 address as four plain decimal numbers"
    return None


def as_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address if the host is one, None if it is a name."""
    try:
        return (
            ipaddress.IPv6Address(host[1:-1])
            if host.startswith("[")
            else ipaddress.IPv4Address(host)
        )
    except ValueError:
        return None


def refuse_private_host(host: str) -> str | None:
    """Return why a host is not on the public Internet; None if it may be.

    The addresses that a name resolves to are checked before each connection.
    """
    why = malformed_host(host)
    if why:
        return why
    address = as_address(host)
    if address is not None:
        return None if classify(address) is AddressClass.PUBLIC else "must name a public address"
    if any(host == suffix or host.endswith(f".{suffix}") for suffix in _PRIVATE_SUFFIXES):
        return "must name a host of the public Internet"
    if "." not in host:
        return "must name a host with its domain, such as api.example.com"
    return None


def _header_errors(headers: object) -> Iterator[FieldError]:
    if not isinstance(headers, Mapping):
        yield FieldError("request.headers", "must be an object of strings")
        return
    if (
        len(headers) > _MOST_HEADERS
        or sum(len(str(name)) + len(str(value)) for name, value in headers.items())
        > _LARGEST_HEADERS
    ):
        yield FieldError(
            "request.headers",
            f"must be at most {_MOST_HEADERS}, and {_LARGEST_HEADERS} bytes in all",
        )
    seen: set[str] = set()
    for name, value in headers.items():
        why = _why_not_header(name, value, seen)
        if why:
            shown = (
                name
                if name.isascii() and name.isprintable() and len(name) <= _LONGEST_NAME
                else "?"
            )
            yield FieldError(f"request.headers.{shown}", why)
        seen.add(name.lower())


def _why_not_header(name: str, value: object, seen: set[str]) -> str | None:
    lower = name.lower()
    # CGI and WSGI servers treat Content_Length as Content-Length.
    plain = lower.replace("_", "-")
    if not _TOKEN.fullmatch(name) or len(name) > _LONGEST_NAME:
        return f"the name must be 1 to {_LONGEST_NAME} letters, digits and hyphens"
    if lower in seen:
        return "is given twice; upper and lower case do not differ in header names"
    if plain in _RESERVED_HEADERS or plain.startswith(_RESERVED_PREFIXES):
        return "is set by Resona or by the connection; leave it out"
    if not isinstance(value, str) or len(value) > _LONGEST_VALUE or not _VALUE.fullmatch(value):
        return (
            f"the value must be at most {_LONGEST_VALUE} visible ASCII characters, "
            "with spaces only between them"
        )
    return None

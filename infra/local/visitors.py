"""Refuse requests that pages of other sites send to a laptop through the user's browser.

Any page can make the browser send requests to 127.0.0.1. With DNS rebinding, a host name that
resolves to 127.0.0.1 after the page was loaded, they even have the page's own origin. So the
request's host must be a loopback name or in `RESONA_HOSTS`, and the origin that the browser sends
must be the laptop's own or in `RESONA_CORS_ORIGINS`. Programs send no origin and are served.
https://www.w3.org/TR/fetch-metadata/
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

_HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?", re.ASCII)
_OWN_SITES = frozenset({"same-origin", "none"})


@dataclass(frozen=True, slots=True)
class Visitor:
    """Where a request goes and which page sent it. A header that was sent twice has two values."""

    target: str
    version: str
    hosts: Sequence[str]
    origins: Sequence[str]
    sites: Sequence[str]
    """The values of `Sec-Fetch-Site`, which the browser sets and no page can change."""


def refusal(
    visitor: Visitor, names: frozenset[str], origins: frozenset[str]
) -> tuple[int, str] | None:
    """Return status and detail of the problem if the request is refused, None if it is served.

    `names` are the allowed hosts besides loopback names, in lower case. `origins` are those whose
    pages may call.
    """
    hosts = visitor.hosts
    if len(hosts) > 1 or (not hosts and visitor.version >= "HTTP/1.1"):
        return 400, "give the header Host once"
    named = [*hosts, *_authority(visitor.target)]
    if not all(map(_HOST.fullmatch, named)):
        return 400, "the host is malformed"
    if len({host.lower() for host in named}) > 1:
        return 400, "the URL and the header Host name different hosts"
    if not all(_is_answered(host, names) for host in named):
        return 403, (
            "a laptop answers as localhost alone: call it so, or name the host in RESONA_HOSTS "
            "when it is started"
        )
    own = {f"{scheme}://{host.lower()}" for scheme in ("http", "https") for host in named}
    if not _is_own(visitor, own, origins):
        return 403, (
            "a page of another site cannot call a laptop: name its origin in RESONA_CORS_ORIGINS "
            "when it is started"
        )
    return None


def read_hosts(environ: Mapping[str, str] = os.environ) -> frozenset[str]:
    """Read RESONA_HOSTS, the host names besides localhost that are allowed, in lower case.

    Raises ValueError with a sentence.
    """
    names = [
        text.strip().lower() for text in environ.get("RESONA_HOSTS", "").split(",") if text.strip()
    ]
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(
                "RESONA_HOSTS must hold host names without a port, such as laptop.example, with "
                f"commas between, not {name!r}"
            )
    return frozenset(names)


def _authority(target: str) -> list[str]:
    """Return the host of a target in absolute form, which overrides Host (RFC 9112, 3.2.2)."""
    if target.startswith(("/", "*")) or "://" not in target:
        return []
    try:
        return [urlsplit(target).netloc]
    except ValueError:
        return [""]


def _is_answered(host: str, names: frozenset[str]) -> bool:
    match = _HOST.fullmatch(host)
    name = match[1].lower().rstrip(".") if match else ""
    if name == "localhost" or name.endswith(".localhost") or name in names:
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_own(visitor: Visitor, own: set[str], allowed: frozenset[str]) -> bool:
    if visitor.origins:
        if len(visitor.origins) == 1 and visitor.origins[0] in allowed:
            return True
        if not all(origin.lower() in own for origin in visitor.origins):
            return False
    return all(site.strip().lower() in _OWN_SITES for site in visitor.sites)

"""The CORS headers of every answer: they tell browsers which pages may read it."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

_READ = (
    "ETag, Idempotency-Replayed, Link, Location, RateLimit, RateLimit-Policy, Retry-After, "
    "WWW-Authenticate"
)


def shared(origin: str | None, allowed: AbstractSet[str]) -> dict[str, str]:
    """Return the headers that let a page of `origin` read an answer."""
    if not allowed:
        return {}
    # A cache must not give one origin the answer to another.
    headers = {"Vary": "Origin"}
    if origin in allowed:
        headers |= {
            "Access-Control-Allow-Origin": str(origin),
            "Access-Control-Expose-Headers": _READ,
        }
    return headers

"""What every answer says to browsers: whose pages may read it."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

_READ = "ETag, Idempotency-Replayed, Link, Location, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate"


def shared(origin: str | None, allowed: AbstractSet[str]) -> dict[str, str]:
    """Return the headers by which a page of `origin` may read an answer; none where no origin is
    allowed.
    """
    if not allowed:
        return {}
    # What may be kept of an answer is for this origin alone.
    headers = {"Vary": "Origin"}
    if origin in allowed:
        headers |= {
            "Access-Control-Allow-Origin": str(origin),
            "Access-Control-Expose-Headers": _READ,
        }
    return headers

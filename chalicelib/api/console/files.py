"""The console's and the API's pages, and the scripts and styles that they load.

The URL of a file holds a digest of all files, so that browsers may keep it for a year.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
# In a page it stands for the version.
_VERSION = "{version}"


@dataclass(frozen=True, slots=True)
class File:
    """A file's text, and the headers that it is served with."""

    text: str
    headers: Mapping[str, str]


@functools.cache
def version() -> str:
    """Return a digest of all files: it changes with every change of one."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in (".html", *_TYPES):
            digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@functools.cache
def page(name: str) -> File:
    """Return a page by name. Browsers ask for it again each time: it names the current version."""
    text = (FOLDER / name).read_text().replace(_VERSION, version())
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": POLICY,
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }
    return File(text, {**headers, **_for_all(text)})


@functools.cache
def asset(name: str) -> File | None:
    """Return a script, a style sheet or the licences by name; None if there is no such file."""
    path = FOLDER / name
    if path.suffix not in _TYPES or path not in FOLDER.iterdir():
        return None
    text = path.read_text()
    headers = {
        "Content-Type": _TYPES[path.suffix],
        "Cache-Control": "public, max-age=31536000, immutable",
    }
    return File(text, {**headers, **_for_all(text)})


def _for_all(text: str) -> dict[str, str]:
    tag = hashlib.sha256(text.encode()).hexdigest()[:32]
    return {"ETag": f'"{tag}"', "X-Content-Type-Options": "nosniff"}

"""`make vendor`: copy the libraries of the console and of its tests out of npm's packages.

A browser resolves no bare name without an import map, which the console's policy forbids: an import
of "preact" becomes one of the file beside it. The map of the source is not served, so that the
comment which names it is left out.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ROOT / ".build" / "console" / "node_modules"
CONSOLE = "chalicelib/api/console"

# Each file of the repository: the parts of npm's packages that it is made of, and its SHA-256.
FILES = {
    f"{CONSOLE}/preact.js": (
        ["preact/dist/preact.mjs"],
        "225d7a773766e6fb2cfcc45274fe41d2059f5782f3f2c4569aa5132a2d3a2902",
    ),
    f"{CONSOLE}/preact-hooks.js": (
        ["preact/hooks/dist/hooks.mjs"],
        "5c65ab263688d0805862fd0807c779af02c2799c44fda0873dfcb870d0da70a0",
    ),
    f"{CONSOLE}/htm.js": (
        ["htm/dist/htm.module.js"],
        "ab33dd3f38059b9be4d5f5350128eefb2356639c4e0bbe9d9e8b3ba75847e9e4",
    ),
    f"{CONSOLE}/licences.txt": (
        ["preact/LICENSE", "htm/LICENSE"],
        "eff2a85dd05d1c130b4ecb06d71605f5e12ff590d2b62fd6e19d55709508e9b8",
    ),
    "tests/console/axe.min.js": (
        ["axe-core/axe.min.js"],
        "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c",
    ),
}


def made(parts: list[str]) -> str:
    """Return a file's text."""
    texts = []
    for part in parts:
        text = (PACKAGES / part).read_text()
        if part.endswith("/LICENSE"):
            text = f"{part.partition('/')[0]}\n\n{text.strip()}\n\n"
        elif part.endswith(".mjs"):
            text = text.partition("//# sourceMappingURL")[0].replace('"preact"', '"./preact.js"')
        texts.append(text)
    return "".join(texts)


def changed() -> Iterator[str]:
    """Yield a line for each file of the repository that is not the one whose hash is noted."""
    for name, (_, noted) in FILES.items():
        found = hashlib.sha256((ROOT / name).read_bytes()).hexdigest()
        if found != noted:
            yield f"{name} has the SHA-256 {found}; {__file__} notes {noted or 'none'}"


def main() -> None:
    """Write every file, and exit with what to look at if one is another than before."""
    for name, (parts, _) in FILES.items():
        (ROOT / name).write_text(made(parts))
    sys.exit("\n".join(changed()))


if __name__ == "__main__":
    main()

"""The README's tables that are counted: `python -m tests.bench.readme` writes each anew, in the
place of the one that begins like it.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.bench import bill, limits

README = Path(__file__).parent.parent.parent / "README.md"
# A sentence of the README, too, holds a number that is counted.
_SLOWER = re.compile(r"(?<=longer costs \$)[0-9.]+(?= more for a million)")


def written(text: str) -> str:
    """Return a README with its tables as they are counted now. A table that is not there fails."""
    for table in [*bill.tables(), list(limits.table())]:
        there = re.search(rf"^{re.escape(table[0])}\n(?:\|.*\n)*", text, re.MULTILINE)
        assert there, f"README.md has no table that begins with {table[0]}"
        text = text[: there.start()] + "\n".join(table) + "\n" + text[there.end() :]
    return _SLOWER.sub(f"{bill.slower():.2f}", text)


if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")

"""The counted tables of docs/costs.md and docs/limits.md: `python -m tests.bench.docs` writes each
anew, in the place of the one with the same first line, and the costs in README's table.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.bench import bill, limits, telling

ROOT = Path(__file__).parent.parent.parent
README, COSTS, LIMITS = ROOT / "README.md", ROOT / "docs" / "costs.md", ROOT / "docs" / "limits.md"
# A sentence of docs/costs.md holds a counted number, too.
_SLOWER = re.compile(r"\$[0-9.]+(?=\s+more\s+for\s+a\s+million)")
_COMPARED = re.compile(r"^\| a million requests by hourly crons \|.*$", re.MULTILINE)


def written(path: Path) -> str:
    """Return a page with its tables as they are counted now. A missing table fails."""
    text = path.read_text(encoding="utf-8")
    if path == README:
        return _replaced(_COMPARED, _compared(), text, path)
    counted = list(limits.table()) if path == LIMITS else list(telling.table())
    tables = [*(bill.tables() if path == COSTS else ()), counted]
    for table in tables:
        rows = re.compile(rf"^{re.escape(table[0])}\n(?:\|.*\n)*", re.MULTILINE)
        text = _replaced(rows, "\n".join(table) + "\n", text, path)
    return _replaced(_SLOWER, f"${bill.slower():.2f}", text, path) if path == COSTS else text


def _replaced(pattern: re.Pattern[str], new: str, text: str, path: Path) -> str:
    found = pattern.findall(text)
    assert len(found) == 1, f"{path.name} has {len(found)} times what begins with {new[:60]!r}"
    return pattern.sub(lambda _: new, text)


def _compared() -> str:
    """Return the row of costs in README's comparison, in the order of its columns."""
    head, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in bill.months()
    )
    million = dict(zip(head, next(row for row in rows if row[0] == "1,000,000"), strict=True))
    services = ("Resona, hourly crons", "EventBridge Scheduler", "QStash", "Cloud Scheduler")
    return (
        f"| a million requests by hourly crons | {' | '.join(million[name] for name in services)} |"
    )


if __name__ == "__main__":
    for page in (README, COSTS, LIMITS):
        page.write_text(written(page), encoding="utf-8")

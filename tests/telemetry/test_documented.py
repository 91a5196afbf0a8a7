"""Every event is in docs/logs.md with its level, and every event there is logged somewhere."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
TABLE = (ROOT / "docs" / "logs.md").read_text().partition("## Events")[2].partition("## Metrics")[0]
LEVELS = {
    "debug": "DEBUG",
    "info": "INFO",
    "warning": "WARNING",
    "error": "ERROR",
    "exception": "ERROR",
}


def documented() -> dict[str, str]:
    rows = re.findall(r"^\| (`[^|]+`) \| ([A-Z][^|]+) \|", TABLE, re.MULTILINE)
    return {event: levels for events, levels in rows for event in re.findall(r"`([^`]+)`", events)}


def logged(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each event that a module logs, and its level, or nothing where that is for the call to
    say.
    """
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if not (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func.value) == "log"
        ):
            continue
        method = node.func.attr
        if method not in {*LEVELS, "log"}:
            assert method in ("addHandler", "removeHandler", "setLevel"), method
            continue
        event = node.args[method == "log"]
        if isinstance(event, ast.Constant) and isinstance(event.value, str):
            yield event.value, LEVELS.get(method, "")
            continue
        # The only other way: whoever calls says which of several it is.
        assert ast.unparse(event) == "event", f"{path.name}: {ast.unparse(node)}"
        texts = [
            one.value
            for one in ast.walk(tree)
            if isinstance(one, ast.Constant) and isinstance(one.value, str)
        ]
        yield from ((text, LEVELS[method]) for text in texts if re.fullmatch(r"job\.[a-z]+", text))


def test_every_event_is_documented_with_its_level_and_none_that_is_gone() -> None:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in (ROOT / "chalicelib").rglob("*.py"):
        for event, level in logged(path):
            found[event].add(level)
    # What lines themselves say.
    found |= {"library.warned": {"WARNING"}, "log_line.failed": {"ERROR"}}
    table = documented()
    assert found.keys() == table.keys()
    assert len(table) > 25
    for event, levels in found.items():
        assert all(level in table[event] for level in levels), event
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+", event)


def test_every_field_of_every_line_in_the_simplest_life_is_documented() -> None:
    text = (ROOT / "docs" / "logs.md").read_text()
    fields = {name for path in (ROOT / "chalicelib").rglob("*.py") for name in _fields(path)}
    assert {name for name in fields if f"`{name}`" not in text} == set()
    assert {"job_id", "run_id", "lateness_ms", "host"} <= fields


def _fields(path: Path) -> Iterator[str]:
    """Yield the names of fields that events are logged with in a module: keys of `extra`, and of
    what is called fields.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        given = node.value if isinstance(node, ast.keyword) and node.arg == "extra" else None
        if (
            isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == "fields"
            and "log" in path.read_text()
        ):
            given = node.value
        if isinstance(given, ast.Dict):
            yield from (str(key.value) for key in given.keys if isinstance(key, ast.Constant))

"""README and docs/ say what the code does. `tests/snippets` runs their receivers,
`tests/acceptance/test_examples.py` their calls.
"""

from __future__ import annotations

import importlib.util
import pkgutil
import re
import shlex
import subprocess
from dataclasses import fields
from itertools import takewhile
from pathlib import Path
from typing import Any

import click
import pytest
from chalice.cli import cli as chalice

from app import app
from chalicelib.config import Settings
from chalicelib.domain.notices import Event
from chalicelib.domain.request import LARGEST_BODY
from chalicelib.domain.secrets import LARGEST_SECRET
from chalicelib.domain.state import MAX_UNFINISHED_RUNS
from chalicelib.outbound.send import KEEP_BODY, KEEP_HEADERS
from infra import keys
from infra.deploy import __main__ as deploy
from infra.template import load
from tests.api.conftest import ROUTES
from tests.pages import PAGES, README, ROOT, blocks, page, section
from tests.test_walls import MAY_IMPORT, OWNED_BY

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z0-9]+):", MAKEFILE, re.MULTILINE))
# The commands of modules, by name.
GROUPS: dict[str, click.Group] = {"infra.keys": keys.main, "infra.deploy": deploy.main}
SOURCES = [
    ROOT / "app.py",
    *sorted((ROOT / "chalicelib").rglob("*.py")),
    *sorted((ROOT / "infra").rglob("*.py")),
]


def test_the_readme_is_read_in_minutes() -> None:
    assert 900 <= len(README.split()) <= 1_500


def test_every_setting_is_documented() -> None:
    named = {
        name for path in SOURCES for name in re.findall(r'"(RESONA_[A-Z_]+)"', path.read_text())
    }
    assert len(named) > 8
    assert [name for name in sorted(named) if f"`{name}`" not in page("settings")] == []


@pytest.mark.parametrize("path", sorted(ROUTES))
def test_every_route_is_in_the_readme(path: str) -> None:
    shown = path.replace("{job_id}", "{id}")
    # OPTIONS is every path's, for browsers, and HEAD goes with every GET.
    for method in app.routes[path].keys() - {"OPTIONS", "HEAD"}:
        short = f"`…/{shown.rpartition('/')[2]}`"
        by_key = f"`{method} {shown.replace('{id}', 'key:{key}')}`"
        assert f"`{method} {shown}`" in README or short in README or by_key in README, (
            f"{method} {shown}"
        )


def test_every_room_is_in_the_readme() -> None:
    tree = blocks(section(README, "The code"), "")[0]
    rooms = {
        path.name
        for path in (ROOT / "chalicelib").iterdir()
        if path.is_dir() and path.name != "__pycache__"
    }
    assert set(re.findall(r"^  ([a-z]+)/", tree, re.MULTILINE)) == rooms
    assert set(re.findall(r"^([a-z]+)/", tree, re.MULTILINE)) == {
        "chalicelib",
        "infra",
        "tests",
        "docs",
    }


def test_contributing_tells_the_walls_that_test_walls_holds() -> None:
    walls = section(PAGES["CONTRIBUTING.md"], "The walls")
    rows = re.findall(r"^\| `([a-z]+)` \| (.+?) \| (.+?) \|$", walls, re.MULTILINE)
    told = {room: set(re.findall(r"`([a-z._]+)`", ours)) for room, ours, _ in rows}
    rooms = MAY_IMPORT.keys() - {"config", "version"}
    assert told == {room: MAY_IMPORT[room] - {room} for room in rooms}
    for room, _, theirs in rows:
        for package in re.findall(r"[a-z0-9]+", theirs.partition(".")[0].replace("only here", "")):
            assert package == "none" or room in OWNED_BY[package], f"{room}: {package}"


@pytest.mark.parametrize("name", PAGES)
def test_every_make_target_that_a_page_names_is_there(name: str) -> None:
    assert set(re.findall(r"`make ([a-z0-9]+)", PAGES[name])) <= TARGETS


@pytest.mark.parametrize("name", PAGES)
def test_every_command_in_a_page_can_be_typed(name: str) -> None:
    """Calls of the API are made for real, in tests/acceptance/test_examples.py; the others are
    parsed as the program would.
    """
    for block in blocks(PAGES[name], "sh"):
        if "localhost:" in block or "127.0.0.1" in block:
            # test_examples.py runs all that README has; no other page has any.
            assert name == "README.md", block
            continue
        for line in block.replace("\\\n", " ").splitlines():
            why = why_not_typed(line)
            assert why is None, f"{name}: {line}: {why}"


def why_not_typed(line: str) -> str | None:
    """Return why a command line would not be understood, None if it would be."""
    words = shlex.split(line, comments=True)
    words = words[len(list(takewhile(lambda word: re.match(r"[A-Z_]+=", word), words))) :]
    match words:
        case []:
            return None
        case ["make", *rest]:
            wrong = [word for word in rest if word not in TARGETS and "=" not in word]
            return f"no target {wrong}" if wrong else None
        case ["git", "pull"] | ["git", "clone", _]:
            return None
        case ["aws", *rest]:
            files = [word.partition("file://")[2] for word in rest if "file://" in word]
            return next((f"no {file}" for file in files if not (ROOT / file).exists()), None)
        case [".venv/bin/chalice", command, *rest]:
            known = chalice.commands.get(command)
            if known is None:
                return "chalice has no such command"
            known.make_context(command, rest)
            return None
        case [python, "-m", module, *rest] if python in ("python", ".venv/bin/python"):
            if importlib.util.find_spec(module) is None:
                return f"no module {module}"
            if module in GROUPS:
                GROUPS[module].commands[rest[0]].make_context(rest[0], rest[1:])
            return None
        case ["cp" | "sed", *_]:
            return None
        case ["curl", *rest]:
            return None if any("…" in word for word in rest) else "a call that nobody makes"
        case _:
            return "unknown to this test"


def test_make_alone_lists_every_target_with_a_line() -> None:
    # The make that runs the tests must not be told of.
    done = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    listed = dict(re.findall(r"^make ([a-z0-9]+) +(\S.*)$", done.stdout, re.MULTILINE))
    phony = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)[0].split()
    assert listed.keys() == set(phony)
    assert len(listed) == len(done.stdout.splitlines())


def test_every_event_that_a_channel_is_told_of_is_in_the_table() -> None:
    rows = re.findall(r"^\| `([a-z]+\.?[a-z]*)` \|", section(page("api"), "Notices"), re.MULTILINE)
    # A callback tells of runs that succeeded.
    assert set(Event) - {Event.RUN_SUCCEEDED} <= set(rows)


def test_every_alarm_is_explained_and_no_other() -> None:
    resources = [
        resource
        for resource in load()["Resources"].values()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    ]
    alarms = [
        resource["Properties"]["AlarmName"]["Fn::Sub"].removeprefix("resona-${Stage}-")
        for resource in resources
    ]
    rows = re.findall(r"^\| (`.+?) \| .+? \| .+? \|$", page("alarms"), re.MULTILINE)
    explained = [name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row)]
    assert len(alarms) > 8
    assert sorted(explained) == sorted(alarms)


def test_the_limits_are_those_of_the_code() -> None:
    own = section(page("limits"), "Resona's own")
    kib = {
        "body": LARGEST_BODY // 1024,
        "secret": LARGEST_SECRET // 1024,
        "kept": KEEP_BODY // 1024,
        "headers": KEEP_HEADERS // 1024,
    }
    assert f"{kib['body']} KiB, {kib['secret']} KiB" in own
    assert f"{kib['kept']} KiB of its body, {kib['headers']} KiB of its headers" in own
    assert f"unfinished runs of one job | {MAX_UNFINISHED_RUNS} |" in own
    by_default: dict[str, Any] = {field.name: field.default for field in fields(Settings)}
    assert f"{by_default['jobs_quota']:,}; {by_default['registrations_per_minute']:,}" in own
    assert f"{by_default['run_retention'].days} days" in own


def test_what_the_acceptance_tests_read_is_explained() -> None:
    sources = [ROOT / "tests" / "acceptance" / name for name in ("__main__.py", "remote.py")]
    read = {
        name
        for path in sources
        for name in re.findall(r"RESONA_[A-Z]+(?:_BIND)?", path.read_text())
    }
    assert set(re.findall(r"RESONA_[A-Z_]+", page("acceptance"))) == read


def test_every_name_of_the_model_is_in_the_code() -> None:
    table = section(page("model"), "Names in the code")
    rows = re.findall(r"^\| [A-Z].+? \| (.+?) \| ", table, re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`([\w.]+)`", row)]
    assert len(names) > 15
    for name in names:
        assert pkgutil.resolve_name(f"chalicelib.{name}"), name


def test_every_page_is_in_the_index() -> None:
    linked = set(re.findall(r"^\| \[([a-z]+\.md)\]", PAGES["docs/README.md"], re.MULTILINE))
    assert linked == {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    for name in linked:
        assert f"](docs/{name})" in README


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    folder = (ROOT / name).parent
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]+)?\)", PAGES[name]):
        assert (folder / target).exists(), target


@pytest.mark.parametrize("name", PAGES)
def test_every_link_to_a_heading_finds_it(name: str) -> None:
    folder = (ROOT / name).parent
    for path, heading in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", PAGES[name]):
        text = (folder / path).read_text() if path else PAGES[name]
        assert heading in anchors(text), f"{path}#{heading}"


def anchors(text: str) -> set[str]:
    """Return the headings of a page as GitHub makes anchors of them."""
    without_code = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", line.lower()).replace(" ", "-") for line in headings}


def test_the_license_is_named_where_packagers_look() -> None:
    assert "MIT License" in Path(ROOT / "LICENSE").read_text()
    assert 'license = "MIT"' in (ROOT / "pyproject.toml").read_text()

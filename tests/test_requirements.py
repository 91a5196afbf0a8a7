"""All dependencies are pinned to exact versions, the same ones everywhere."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
FILES = ("requirements", "infra/local/requirements", "requirements-dev")
# Of environments of their own, which are not here.
OTHERS = ("tests/e2e/lambda", "tests/e2e/ministack")
# As `python -m pip_audit` does it, for one file after the other; to start it takes ten times as
# long as a file does.
AUDIT = """
import runpy, sys
for name in sys.argv[1:]:
    print("audited next", file=sys.stderr, flush=True)
    options = ["--dry-run", "--strict", "--disable-pip", "--no-deps", "--progress-spinner", "off"]
    sys.argv = ["pip-audit", *options, "--requirement", f"{name}.txt"]
    try:
        runpy.run_module("pip_audit", run_name="__main__", alter_sys=True)
    except SystemExit as left:
        if left.code:
            raise
"""
PINNED = re.compile(
    r"(?P<name>[a-z0-9.-]+)==(?P<version>[a-z0-9.]+)(?: ; (?P<marker>.+))?", re.ASCII
)


def lines(name: str) -> list[str]:
    """Return the lines of a file without comments, a requirement with its hashes as one."""
    text = (ROOT / name).read_text().replace("\\\n", "")
    return [line for line in (each.partition("#")[0].strip() for each in text.splitlines()) if line]


def pins(name: str) -> set[tuple[str, str]]:
    """Return each package and version that a file pins."""
    found = [PINNED.match(line) for line in lines(f"{name}.txt")]
    return {(match["name"], match["version"]) for match in found if match}


def test_no_file_of_requirements_is_left_out_here_or_in_the_commands() -> None:
    files = [path.relative_to(ROOT) for path in ROOT.rglob("*.in")]
    there = {
        str(path.with_suffix(""))
        for path in files
        if not any(part.startswith(".") for part in path.parts)
    }
    assert there == {*FILES, *OTHERS}
    makefile = (ROOT / "Makefile").read_text()
    for name in there:
        assert f"{name}.in --output-file {name}.txt" in makefile
        assert f" {name}" in makefile.partition("audit: ")[2].partition("clean:")[0]


@pytest.mark.parametrize("name", [*FILES, *OTHERS])
def test_every_requirement_is_pinned_exactly(name: str) -> None:
    assert [
        line
        for line in lines(f"{name}.txt")
        if not PINNED.fullmatch(line.partition(" --hash")[0].strip())
    ] == []


@pytest.mark.parametrize("name", [*FILES, *OTHERS])
def test_what_is_asked_for_is_pinned(name: str) -> None:
    asked = {
        canonicalize_name(Requirement(line).name)
        for line in lines(f"{name}.in")
        if not line.startswith("-")
    }
    assert asked <= {package for package, _ in pins(name)}


def test_every_file_can_be_audited() -> None:
    """As far as that can be told without asking anybody."""
    names = [*FILES, *OTHERS]
    done = subprocess.run(
        [sys.executable, "-c", AUDIT, *names], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = dict(zip(names, done.stderr.split("audited next\n")[1:], strict=True))
    for name, said in found.items():
        count = len({package for package, _ in pins(name) if is_here(name, package)})
        assert f"would have audited {count} packages" in said, name


def test_a_laptop_runs_what_ships_and_the_tests_run_what_a_laptop_runs() -> None:
    assert pins("requirements") < pins("infra/local/requirements") < pins("requirements-dev")


@pytest.mark.parametrize("name", FILES)
def test_whatever_a_requirement_needs_is_pinned_too(name: str) -> None:
    pinned = {package for package, _ in pins(name)}
    needed = {name for package in pinned & installed() for name in needs(package)}
    assert needed <= pinned


def test_nothing_ships_that_nothing_needs() -> None:
    found = set[str]()
    wanted: set[str] = {
        canonicalize_name(Requirement(line).name) for line in lines("requirements.in")
    }
    while wanted:
        found |= wanted
        wanted = {name for package in wanted for name in needs(package)} - found
    assert found == {package for package, _ in pins("requirements")}


def test_what_ships_is_pinned_by_its_hashes() -> None:
    for line in lines("requirements.txt"):
        assert re.fullmatch(r"\S+( ; [^-]+)?(\s+--hash=sha256:[0-9a-f]{64})+", line), line


def installed() -> set[str]:
    """Return the packages that are pinned and here: not those for other systems."""
    return {
        match["name"]
        for line in lines("requirements-dev.txt")
        if (match := PINNED.match(line)) and is_for_here(match["marker"])
    }


def is_here(name: str, package: str) -> bool:
    """Say whether a file pins a package for this system."""
    found = [
        match
        for line in lines(f"{name}.txt")
        if (match := PINNED.match(line)) and match["name"] == package
    ]
    return any(is_for_here(match["marker"]) for match in found)


def is_for_here(marker: str | None) -> bool:
    return not marker or Marker(marker).evaluate()


def needs(package: str) -> set[str]:
    """Return what an installed package needs here, without its extras."""
    asked = [Requirement(text) for text in requires(package) or ()]
    return {
        canonicalize_name(each.name)
        for each in asked
        if each.marker is None or each.marker.evaluate({"extra": ""})
    }

"""What the README says is what there is."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from app import app
from chalicelib.config import Settings
from chalicelib.domain.request import LARGEST_BODY
from chalicelib.domain.secrets import LARGEST_SECRET
from chalicelib.domain.state import MAX_UNFINISHED_RUNS
from chalicelib.outbound.send import KEEP_BODY, KEEP_HEADERS
from infra.template import load
from tests.api.conftest import ROUTES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SOURCES = [
    ROOT / "app.py",
    *sorted((ROOT / "chalicelib").rglob("*.py")),
    *sorted((ROOT / "infra").rglob("*.py")),
]


def section(name: str) -> str:
    """Return what stands under a heading, up to the next of its kind."""
    return README.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def test_every_setting_is_in_the_readme() -> None:
    named = {
        name for path in SOURCES for name in re.findall(r'"(RESONA_[A-Z_]+)"', path.read_text())
    }
    assert len(named) > 8
    assert [name for name in sorted(named) if f"`{name}`" not in README] == []


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


def test_every_command_in_the_readme_is_there() -> None:
    targets = set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z0-9]+)", README)) <= targets


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
    rows = re.findall(r"^\| (`.+?) \| .+? \| .+? \|$", section("Operate"), re.MULTILINE)
    explained = [name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row)]
    assert len(alarms) > 8
    assert sorted(explained) == sorted(alarms)


def test_the_limits_are_those_of_the_code() -> None:
    own = section("Limits").partition("AWS's quotas")[0]
    kib = {
        "body": LARGEST_BODY // 1024,
        "secret": LARGEST_SECRET // 1024,
        "kept": KEEP_BODY // 1024,
        "headers": KEEP_HEADERS // 1024,
    }
    assert f"{kib['body']} KiB, {kib['secret']} KiB" in own
    assert f"{kib['kept']} KiB of its body, {kib['headers']} KiB of its headers" in own
    assert f"unfinished runs of one job | {MAX_UNFINISHED_RUNS} |" in own
    by_default = {field.name: field.default for field in fields(Settings)}
    assert f"{by_default['jobs_quota']:,}; {by_default['registrations_per_minute']:,}" in own
    assert f"{by_default['run_retention'].days} days" in own


def test_what_the_acceptance_tests_read_is_explained() -> None:
    sources = [ROOT / "tests" / "acceptance" / name for name in ("__main__.py", "remote.py")]
    read = {
        name
        for path in sources
        for name in re.findall(r"RESONA_[A-Z]+(?:_BIND)?", path.read_text())
    }
    explained = (ROOT / "docs" / "acceptance.md").read_text()
    assert set(re.findall(r"RESONA_[A-Z_]+", explained)) == read


def test_every_link_in_the_readme_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]+)?\)", README):
        assert (ROOT / target).exists(), target


def test_every_link_to_a_heading_finds_it() -> None:
    for path, heading in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", README):
        text = (ROOT / path).read_text() if path else README
        there = {
            re.sub(r"[^a-z0-9 -]", "", line.lower()).replace(" ", "-")
            for line in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        }
        assert heading in there, f"{path}#{heading}"

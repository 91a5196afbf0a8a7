"""What the README says is what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app import app
from tests.api.conftest import ROUTES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SOURCES = [ROOT / "app.py", *sorted((ROOT / "chalicelib").rglob("*.py")), *sorted((ROOT / "infra").rglob("*.py"))]


def test_every_setting_is_in_the_readme() -> None:
    named = {name for path in SOURCES for name in re.findall(r'"(RESONA_[A-Z_]+)"', path.read_text())}
    assert len(named) > 8
    assert [name for name in sorted(named) if f"`{name}`" not in README] == []


@pytest.mark.parametrize("path", sorted(ROUTES))
def test_every_route_is_in_the_readme(path: str) -> None:
    shown = path.replace("{job_id}", "{id}")
    # OPTIONS is every path's, for browsers.
    for method in app.routes[path].keys() - {"OPTIONS"}:
        short = f"`…/{shown.rpartition('/')[2]}`"
        by_key = f"`{method} {shown.replace('{id}', 'key:{key}')}`"
        assert f"`{method} {shown}`" in README or short in README or by_key in README, f"{method} {shown}"


def test_every_command_in_the_readme_is_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", README)) <= targets


def test_every_link_in_the_readme_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target

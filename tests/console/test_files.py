"""The console's files: how they are served, what they weigh, and which libraries they are."""

from __future__ import annotations

import ast
import gzip
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chalicelib.api.console.files import FOLDER, POLICY, asset, page, version
from tests.acceptance.laptop import ROOT
from tests.api.conftest import Api, api, env
from tests.console import vendor

__all__ = ["api", "env"]  # fixtures

SERVED = sorted(path for path in FOLDER.iterdir() if path.suffix in (".js", ".css", ".txt"))


def test_the_libraries_are_those_whose_hashes_are_noted() -> None:
    assert list(vendor.changed()) == []


@pytest.mark.parametrize("name", ["index.html", "docs.html"])
def test_a_page_and_all_that_it_loads_is_at_most_100_kb_compressed(name: str) -> None:
    loaded = re.findall(r'"console/{version}/([^"]+)"', (FOLDER / name).read_text())
    assert len(loaded) > 10
    files = [FOLDER / each for each in (name, *loaded, "licences.txt")]
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) <= 100_000


@pytest.mark.parametrize(
    ("path", "script"), [("/console", "app.js"), ("/docs", "docs.js")], ids=["console", "docs"]
)
def test_a_page_names_every_script_that_it_loads_and_nothing_of_another_host(
    api: Api, path: str, script: str
) -> None:
    answer = api.get(path)
    assert (answer.status, answer.headers["Content-Security-Policy"]) == (200, POLICY)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    # Relative to /console and to /api/console alike.
    loaded = set(re.findall(rf'"console/{version()}/([^"]+)"', answer.text))
    scripts = {"theme.js", *imported(script)}
    assert {name for name in loaded if name.endswith(".js")} == scripts
    assert {name for name in loaded - scripts if not (FOLDER / name).exists()} == set()
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", answer.text)
    others = re.findall(r'(?:src|href)="((?!console/|data:image/svg)[^"]+)"', answer.text)
    assert set(others) <= {"openapi.json"}


def imported(name: str) -> set[str]:
    """Return a script and all that it imports."""
    found, left = set[str](), {name}
    while left:
        found |= left
        texts = [(FOLDER / each).read_text() for each in left]
        left = {each for text in texts for each in re.findall(r'from ?"./([^"]+)"', text)} - found
    return found


def test_every_file_is_loaded_by_a_page() -> None:
    pages = "".join(path.read_text() for path in FOLDER.glob("*.html"))
    assert [path.name for path in SERVED if path.name not in pages] == ["licences.txt"]


@pytest.mark.parametrize("path", SERVED, ids=lambda path: str(path.name))
def test_a_file_is_kept_for_a_year_under_the_digest_of_all(api: Api, path: Path) -> None:
    answer = api.get(f"/console/{version()}/{path.name}")
    assert (answer.status, answer.text) == (200, path.read_text())
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    again = api.get(
        f"/console/{version()}/{path.name}", headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert (again.status, again.text) == (304, "")


@pytest.mark.parametrize("path", ["/console", "/docs"])
def test_a_page_is_asked_for_anew_and_answered_with_304(api: Api, path: str) -> None:
    answer = api.get(path)
    assert answer.headers["Cache-Control"] == "no-cache"
    again = api.get(path, headers={"If-None-Match": f"W/{answer.headers['ETag']}"})
    assert (again.status, again.text) == (304, "")
    assert api.get(path, headers={"If-None-Match": '"another"'}).status == 200


@pytest.mark.parametrize(
    "name",
    [
        *("files.py", "index.html", "docs.html", "nothing.js", "..%2Fcors.py", "%2Fetc%2Fpasswd"),
        "__init__.py",
    ],
)
def test_nothing_else_is_served(api: Api, name: str) -> None:
    answer = api.get(f"/console/{version()}/{name}")
    assert (answer.status, answer.problem["title"]) == (404, "Not Found")
    assert api.get("/console/0123456789abcdef/app.js").status == 404


def test_what_serves_them_loads_the_standard_library_alone() -> None:
    code = (
        "import chalicelib.api.console.files as of, sys; of.page('docs.html'); print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    tops = {name.partition(".")[0] for name in loaded}
    assert not tops & {"pydantic", "pydantic_core", "boto3", "botocore", "chalice"}
    source = ast.parse((ROOT / "chalicelib" / "api" / "console" / "files.py").read_text())
    assert not any(
        isinstance(node, ast.ImportFrom) and str(node.module).startswith("chalicelib")
        for node in ast.walk(source)
    )


def test_no_script_makes_markup_or_code_of_text() -> None:
    ours = [path for path in SERVED if path.suffix == ".js" and "export" in path.read_text()]
    libraries = {Path(name).name for name in vendor.FILES}
    for path in ours:
        if path.name not in libraries:
            found = re.findall(
                r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function",
                path.read_text(),
            )
            assert found == [], path.name


def test_its_files_are_made_once() -> None:
    assert page("docs.html") is page("docs.html")
    assert asset("app.js") is asset("app.js")


@pytest.mark.parametrize("path", ["/console", "/docs"])
def test_a_slash_at_the_end_of_a_page_s_address_is_led_away_from(api: Api, path: str) -> None:
    answer = api.get(f"{path}/")
    assert (answer.status, answer.headers["Location"]) == (303, path)

"""The walls: which room imports which, and what each Lambda function loads."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "chalicelib"

# Room → what of the house it may import. What is not named here has no place.
MAY_IMPORT = {
    "config": set[str](),
    "version": set[str](),
    "runtime": set[str](),
    "domain": {"domain"},
    "aws": {"aws", "domain", "config", "runtime"},
    "outbound": {"outbound", "domain", "version"},
    "telemetry": {"telemetry", "config", "domain.errors"},
    "usecases": {"usecases", "runtime", "aws", "domain"},
    "handlers": {
        *("handlers", "usecases", "runtime", "aws", "outbound", "domain", "config", "telemetry")
    },
    "api": set(
        "api config telemetry handlers.authorizer usecases aws domain runtime.once version".split()
    ),
}

# Dependency → the rooms that may import it.
OWNED_BY = {
    "boto3": {"aws"},
    "botocore": {"aws"},
    "mypy_boto3_dynamodb": {"aws"},
    "mypy_boto3_sqs": {"aws"},
    "mypy_boto3_kms": {"aws"},
    "mypy_boto3_scheduler": {"aws"},
    "requests": {"outbound"},
    "urllib3": {"outbound"},
    "pydantic": {"api"},
    "pydantic_core": {"api"},
    "typing_extensions": {"api"},
    "chalice": {"api", "handlers"},
    "certifi": {"outbound"},
    # The rules stand on the standard library alone, but for the calendar and JSON Pointers: the
    # field's libraries for them are pure as well, and ask no clock that they are not given.
    "croniter": {"domain"},
    "dateutil": {"api"},
    "jsonpointer": {"domain"},
    "tzdata": {"domain"},
    "ulid": {"domain"},
}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Return the dotted names that a module imports, `from a.b import c` as a.b.c."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    room = room_of(path)
    for name in imported(path):
        top, _, rest = name.partition(".")
        assert top not in ("infra", "tests", "app"), f"{path.name} imports {name}"
        if top == "chalicelib":
            allowed = MAY_IMPORT[room]
            assert any(rest == one or rest.startswith(f"{one}.") for one in allowed), (
                f"{path.name} imports {name}"
            )
        elif top not in sys.stdlib_module_names:
            assert room in OWNED_BY.get(top, set()), (
                f"{path.name} imports {name}, which belongs to {OWNED_BY.get(top)}"
            )


def test_every_package_has_an_empty_init() -> None:
    for folder in [
        PACKAGE,
        *(path for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"),
    ]:
        assert (folder / "__init__.py").read_text() == ""


def loaded_by(module: str, **environment: str) -> set[str]:
    code = f"import sys, {module}; print(*sys.modules)"
    environ = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_the_executor_loads_no_pydantic_and_no_routes() -> None:
    loaded = loaded_by("chalicelib.handlers.executor")
    assert not {
        name
        for name in loaded
        if name.split(".")[0] in ("pydantic", "pydantic_core", "app", "infra", "moto")
    }
    assert not {name for name in loaded if name.startswith("chalicelib.api")}


def test_the_authorizer_loads_no_pydantic_no_routes_and_no_executor() -> None:
    loaded = loaded_by("chalicelib.handlers.authorizer")
    assert not {
        name
        for name in loaded
        if name.split(".")[0] in ("pydantic", "pydantic_core", "requests", "app", "infra", "moto")
    }
    house = {name.removeprefix("chalicelib.") for name in loaded if name.startswith("chalicelib.")}
    rest = set("handlers handlers.authorizer handlers.composition config".split())
    rest |= set("runtime runtime.backoff runtime.clock runtime.once".split())
    rest |= set("aws aws.clients aws.table aws.api_key_store".split())
    rest |= set("telemetry telemetry.invocation telemetry.lines telemetry.metrics".split())
    assert house == rest | set("domain domain.errors domain.instant domain.api_keys".split())


def test_the_api_loads_no_local_cloud() -> None:
    assert not {
        name for name in loaded_by("app") if name.split(".")[0] in ("infra", "moto", "pytest")
    }


def test_the_api_in_lambda_loads_no_executor_and_nothing_that_sends() -> None:
    loaded = loaded_by(
        "app", AWS_LAMBDA_FUNCTION_NAME="resona-prod", AWS_DEFAULT_REGION="eu-central-1"
    )
    assert "chalicelib.api.routes.jobs" in loaded
    assert not loaded & {
        "requests",
        "chalicelib.handlers.executor",
        "chalicelib.outbound",
        "chalicelib.usecases.firing",
    }
    # Chalice deploys what it finds here.
    assert "chalicelib.handlers.executor" in loaded_by("app")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_dataclass_is_frozen_and_has_slots(path: Path) -> None:
    decorators = [
        ast.unparse(decorator)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        for decorator in node.decorator_list
    ]
    for decorator in decorators:
        if decorator.startswith("dataclass"):
            assert decorator.startswith("dataclass(frozen=True, slots=True"), path.name


def test_no_module_of_the_project_is_too_long_to_do_one_thing() -> None:
    for path in modules():
        assert len(path.read_text().splitlines()) <= 400, f"{path.name} does too much"


@pytest.mark.parametrize("folder", ["chalicelib", "infra"])
def test_no_function_has_more_than_50_lines(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 50, f"{path.name}: {node.name}"

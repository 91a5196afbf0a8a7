"""Change `chalicelib/` at random single points and list the changes that no fast test notices.

`make mutants` draws 200 mutants; `make mutants MUTANTS="--seed 14 chalicelib/usecases"` repeats a
draw in one room. cosmic-ray finds the places and makes the changes. mutmut would do as well for the
bodies of functions, but changes neither constants of modules nor decorated functions.

The tests run once without a mutation, to measure which test executes which line and how long it
takes. A mutant is then given a minute of the tests that execute its line, those of its mirrored
file first. A mutant that takes five times as long counts as noticed.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import importlib
import itertools
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import parso
import pytest
from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Example, Operator
from coverage import CoverageData

ROOT = Path(__file__).parents[1]
SOURCE = "chalicelib"
MEASURED = ROOT / ".build" / "mutants"
_BESIDE = tuple(f"tests/test_{name}.py" for name in ("walls", "wiring", "config", "canaries"))
# What most tests load, so that it is loaded once.
_LIBRARIES = ("boto3", "chalice.local", "pydantic", "requests")
# `x is None` and `x == None` differ for classes with an `__eq__` of their own, and there are none.
_SAME = ("core/ReplaceComparisonOperator_Is_Eq", "core/ReplaceComparisonOperator_IsNot_NotEq")
_OPTIONS = ("-p", "no:xdist", "-p", "no:cacheprovider", "-q")
_MOST_SECONDS = 60
# In bytes: a mutant that gathers for ever fails instead of taking the machine's memory.
_ADDRESS_SPACE = 8 << 30

Position = tuple[int, int]


# parso declares types, but not this function's.
_parse: Any = parso.parse


class LeaveOut(Operator):  # type: ignore[misc]  # cosmic-ray has no types
    """Leave out a `raise`, a `return`, an unused call, or an augmented assignment."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Position, Position]]:
        if node.type == "simple_stmt" and _can_be_left_out(node.children[0]):
            yield node.children[0].start_pos, node.children[0].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.children[0] = _parse(f"{node.children[0].get_first_leaf().prefix}pass")
        return node

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return (
            Example("if x:\n    raise E\n", "if x:\n    pass\n"),
            Example("f(x)\n", "pass\n"),
            Example("n += 1\n", "pass\n"),
        )


def _can_be_left_out(statement: Any) -> bool:
    if statement.type == "expr_stmt":
        operator = statement.children[1]
        return operator.type == "operator" and operator.value not in ("=", ":")
    is_call = statement.type == "atom_expr" and str(statement.get_last_leaf().value) == ")"
    return is_call or statement.type in ("raise_stmt", "return_stmt")


class SwapArguments(Operator):  # type: ignore[misc]  # cosmic-ray has no types
    """Swap two adjacent arguments of a call: both positional, or the values of two keywords."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Position, Position]]:
        for left, right in _pairs(node):
            yield left.start_pos, right.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        left, right = list(_pairs(node))[index]
        code = node.get_code(include_prefix=False)
        lines = code.splitlines(keepends=True)

        def offset(position: Position) -> int:
            line, column = position[0] - node.start_pos[0], position[1]
            return sum(map(len, lines[:line])) + column - (0 if line else node.start_pos[1])

        a, b, c, d = (offset(at) for side in (left, right) for at in (side.start_pos, side.end_pos))
        prefix = node.get_first_leaf().prefix
        return _parse(prefix + code[:a] + code[c:d] + code[b:c] + code[a:b] + code[d:])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return (
            Example("f(a, b)", "f(b, a)"),
            Example("f(a, b, c)", "f(a, c, b)", occurrence=1),
            Example("f(x=a, y=b)", "f(x=b, y=a)"),
            Example("min(f(a, b), c)", "min(f(b, a), c)"),
            Example("f(\n    g(a),\n    b,\n)", "f(\n    b,\n    g(a),\n)"),
        )


def _pairs(node: Any) -> Iterator[tuple[Any, Any]]:
    if node.type != "arglist" or node.parent.type != "trailer":
        return
    if node.parent.get_previous_sibling().get_code().strip() in ("max", "min"):
        return
    arguments = [child for child in node.children if child.type != "operator"]
    for left, right in itertools.pairwise(arguments):
        kinds = [_kind(argument) for argument in (left, right)]
        if kinds == ["positional", "positional"]:
            yield left, right
        elif kinds == ["named", "named"]:
            yield left.children[2], right.children[2]


def _kind(argument: Any) -> str:
    if argument.type != "argument":
        return "positional"
    return "named" if argument.children[1] == "=" else "unpacked"


OURS = {operator.__name__: operator for operator in (LeaveOut, SwapArguments)}


def operators() -> dict[str, Any]:
    """Return the operators that take no arguments, by name: cosmic-ray's and our own."""
    plugins.OPERATOR_PROVIDERS["resona"] = OURS
    classes = {name: plugins.get_operator(name) for name in sorted(plugins.operator_names())}
    return {
        name: operator()
        for name, operator in classes.items()
        if name not in _SAME and not operator.arguments()
    }


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module's text with one change. `path` is relative to the repository."""

    path: Path
    lines: range
    text: str

    def diff(self) -> str:
        """Return the change, without lines around it."""
        before, after = (text.splitlines() for text in ((ROOT / self.path).read_text(), self.text))
        changed = list(difflib.unified_diff(before, after, n=0, lineterm=""))[3:]
        return "\n".join([f"{self.path}:{self.lines.start}", *changed])


class _Meaning(ast.NodeTransformer):
    """Removes annotations that nothing reads at run time, and whether a parameter takes its value
    by place or by name: mypy sees which calls that forbids.
    """

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.returns = None
        # A function that ends returns None.
        if ast.unparse(node.body[-1]) in ("return None", "pass"):
            node.body.pop()
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        self.generic_visit(node)
        node.args = [*node.posonlyargs, *node.args, *node.kwonlyargs]
        node.defaults += [value for value in node.kw_defaults if value is not None]
        node.posonlyargs, node.kwonlyargs, node.kw_defaults = [], [], []
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        # pydantic reads those of fields.
        fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
        self.generic_visit(node)
        node.body = [*fields, *node.body]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        return (
            ast.copy_location(ast.Assign([node.target], node.value), node) if node.value else node
        )


def changes_something(before: str, after: str) -> bool:
    """Say whether two texts of a module differ in what they do, and both are Python."""
    try:
        old, new = (ast.dump(_Meaning().visit(ast.parse(text))) for text in (before, after))
    except SyntaxError:
        return False
    return old != new


def drawn(paths: Iterable[Path], count: int, dice: random.Random) -> list[Mutant]:
    """Draw `count` places, all equally likely, and one mutation at each."""
    every = operators()
    places: dict[tuple[Path, Position, Position], list[tuple[str, int]]] = defaultdict(list)
    for path in paths:
        nodes = list(ast_nodes(get_ast((ROOT / path).read_text())))
        for name, operator in every.items():
            found = [place for node in nodes for place in operator.mutation_positions(node)]
            for occurrence, (start, end) in enumerate(found):
                places[path, start, end].append((name, occurrence))
    order = sorted(places)
    dice.shuffle(order)
    chosen: list[Mutant] = []
    for path, start, end in order:
        if len(chosen) == count:
            break
        mutations = places[path, start, end]
        dice.shuffle(mutations)
        text = (ROOT / path).read_text()
        for name, occurrence in mutations:
            mutated = mutate_code(text, every[name], occurrence)
            if mutated is not None and changes_something(text, mutated):
                chosen.append(Mutant(path, range(start[0], end[0] + 1), mutated))
                break
    return chosen


def mirrored(path: Path) -> str:
    """Return the file of a module's own tests, which need not exist: `test_cron_fields.py`, and
    without it `test_cron.py`, for `cron_fields.py`.
    """
    folder, words = Path("tests", *path.parts[1:-1]), path.stem.split("_")
    names = ["_".join(words[:most]) for most in range(len(words), 0, -1)]
    files = [folder / f"test_{name}.py" for name in names]
    return str(next((file for file in files if (ROOT / file).exists()), files[0]))


@dataclass(frozen=True, slots=True)
class Tests:
    """The seconds that each test takes, and by `data` the tests that execute a line."""

    seconds: dict[str, float]
    data: CoverageData
    uncounted: Collection[str]

    def of(self, mutant: Mutant) -> tuple[list[str], int]:
        """Return the tests to run, those of the mirrored file first, and how many more execute the
        line and are left out.
        """
        own, room = mirrored(mutant.path), "/".join(["tests", *mutant.path.parts[1:-1]])
        executing = self._executing(mutant)
        # The tests of an uncounted file may all execute it, and of the walls one reads it.
        if own in self.uncounted:
            executing |= {test for test in self.seconds if test.startswith(f"{own}::")}
        reading = f"[{mutant.path.relative_to(SOURCE)}]"
        executing |= {test for test in self.seconds if test.endswith(reading)}
        ordered = sorted(
            executing & set(self.seconds),
            key=lambda test: (
                not test.startswith(f"{own}::"),
                not test.endswith(reading),
                not test.startswith(f"{room}/"),
                self.seconds[test],
            ),
        )
        spent = itertools.accumulate(self.seconds[test] for test in ordered)
        kept = ordered[: max(1, sum(seconds <= _MOST_SECONDS for seconds in spent))]
        # File by file, for the sake of fixtures that a file's tests share.
        kept.sort(key=lambda test: (not test.startswith(f"{own}::"), test.partition("::")[0]))
        return kept, len(ordered) - len(kept)

    def _executing(self, mutant: Mutant) -> set[str]:
        """Return the tests that execute one of the mutant's lines; of the module, if there are
        none: a line of the module itself, or one that only other threads execute; of the modules
        that import it, if it has constants only.
        """
        name = ".".join(mutant.path.with_suffix("").parts)
        found = self._executing_lines(mutant.path, mutant.lines)
        return (
            found
            or self._executing_lines(mutant.path)
            or {
                test
                for path in (ROOT / SOURCE).rglob("*.py")
                if f"from {name} import" in path.read_text()
                for test in self._executing_lines(path.relative_to(ROOT))
            }
        )

    def _executing_lines(self, path: Path, lines: Iterable[int] | None = None) -> set[str]:
        by_line = self.data.contexts_by_lineno(str(ROOT / path))
        contexts = {name for line in lines or by_line for name in by_line.get(line, ())}
        return {name.partition("|")[0] for name in contexts} - {""}


def measured(uncounted: Sequence[str]) -> Tests:
    """Run the tests without a mutation, or take what was measured since a file was changed.

    Tests that fail without a mutation are printed and left out.
    """
    modules = [path.relative_to(ROOT) for path in sorted((ROOT / SOURCE).rglob("*.py"))]
    rooms = {
        f"tests/{path.parts[1]}" for path in modules if (ROOT / "tests" / path.parts[1]).is_dir()
    }
    runs = {
        "counted": [
            *("--cov", "--cov-context=test", "--cov-report="),
            *(f"--ignore={name}" for name in uncounted),
            *(*sorted(rooms), *_BESIDE),
        ],
        "uncounted": ["--no-cov", *sorted({mirrored(path) for path in modules} & set(uncounted))],
    }
    map_file = MEASURED / "coverage"
    written = [path for top in (SOURCE, "tests") for path in (ROOT / top).rglob("*.py")]
    changed = max(path.stat().st_mtime for path in written)
    for name, arguments in runs.items():
        if (file := MEASURED / name).exists() and file.stat().st_mtime > changed:
            continue
        MEASURED.mkdir(parents=True, exist_ok=True)
        with (part := file.with_suffix(".part")).open("w") as output:
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "pytest",
                    *_OPTIONS,
                    "-rfE",
                    "--durations=0",
                    "--durations-min=0",
                    *arguments,
                ],
                cwd=ROOT,
                env={**os.environ, "COVERAGE_FILE": str(map_file)},
                stdout=output,
                check=False,
            )
        part.rename(file)
    said = "".join((MEASURED / name).read_text() for name in runs)
    seconds: dict[str, float] = defaultdict(float)
    for took, test in re.findall(r"^([0-9.]+)s (?:call|setup|teardown) +(.+)$", said, re.M):
        seconds[test] += float(took)
    for test in re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", said, re.M):
        seconds.pop(test, None)
        print(f"left out, since it fails without a mutation: {test}", flush=True)
    data = CoverageData(str(map_file))
    data.read()
    return Tests(dict(seconds), data, uncounted)


@contextlib.contextmanager
def copied() -> Iterator[Path]:
    """Copy the work tree as it is, without what git ignores; the copy is removed at the end."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    with tempfile.TemporaryDirectory(prefix="resona-mutants-") as made:
        folder = Path(made)
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        subprocess.run([sys.executable, "-m", "compileall", "-q", "."], cwd=folder, check=True)
        subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
        # Tests call what is installed beside Python.
        (folder / ".venv").symlink_to(ROOT / ".venv")
        yield folder


def noticed_by(mutant: Mutant, folder: Path, tests: Sequence[str], seconds: float) -> str | None:
    """Return the first test that fails with a mutant, None if all pass."""
    target, said = folder / mutant.path, folder / ".said"
    before = target.read_text()
    (folder / ".chosen").write_text("\n".join(tests))
    target.write_text(mutant.text)
    # Forked, so that the libraries are not loaded anew for each mutant.
    process = get_context("fork").Process(target=_run_chosen, args=(folder, said))
    process.start()
    process.join(seconds)
    is_late = process.is_alive()
    if is_late and process.pid is not None:
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
    target.write_text(before)
    if is_late:
        return "time"
    if process.exitcode == 0:
        return None
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", said.read_text(), re.M)
    return next(iter(failed), f"exit status {process.exitcode}")


def _run_chosen(folder: Path, said: Path) -> None:
    os.setsid()
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    # The .pyc of a mutant could be taken for the module later.
    os.environ["PYTHONDONTWRITEBYTECODE"], sys.dont_write_bytecode = "1", True
    sys.path[:] = [str(folder), *(path for path in sys.path if Path(path).resolve() != ROOT)]
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", SOURCE)]:
        del sys.modules[name]
    with said.open("w") as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
    arguments = [*_OPTIONS, "--no-cov", "-x", "--tb=no", "-rfE", "@.chosen"]
    status = pytest.main(arguments)
    sys.stdout.flush()
    os._exit(status)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("paths", nargs="*", type=Path, default=[Path(SOURCE)])
    parser.add_argument("--count", type=int, default=200, help="how many mutants to draw (200)")
    parser.add_argument("--seed", type=int, help="repeats a draw of the same tree")
    parser.add_argument("--uncounted", default="", help="tests whose lines are not measured")
    asked = parser.parse_args()
    seed = random.randrange(10**6) if asked.seed is None else asked.seed
    modules = [
        file
        for path in asked.paths
        for file in ([path] if path.suffix else sorted(path.rglob("*.py")))
    ]
    mutants = drawn(modules, asked.count, random.Random(seed))
    print(f"{len(mutants)} mutants, seed {seed}; first the tests without a mutation", flush=True)
    every, noticed, began = measured(asked.uncounted.split()), 0, time.monotonic()
    for library in _LIBRARIES:
        importlib.import_module(library)
    with copied() as folder:
        for number, mutant in enumerate(mutants, 1):
            tests, more = every.of(mutant)
            expected = sum(every.seconds[test] for test in tests)
            by = noticed_by(mutant, folder, tests, 30 + 5 * expected)
            noticed += by is not None
            told = f"noticed by {by}" if by else f"SURVIVED {len(tests)} tests, {more} not run"
            print(f"\n{number}. {told}\n{mutant.diff()}", flush=True)
    took = (time.monotonic() - began) / 60
    print(f"\n{noticed} of {len(mutants)} noticed, seed {seed}, {took:.0f} minutes")


if __name__ == "__main__":
    main()

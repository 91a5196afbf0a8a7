"""Make `chalice local` serve the same as `make run`, whatever its options.

Chalice's default stage is `dev`, but only the stage `local` runs on a laptop, so `local` becomes
the default. A stage that was given on the command line is never replaced.

Chalice's autoreload serves from a thread of a second process. It restarts that process when any
file in the project changes, even the laptop's database, and when the process exits with code 3.
Here that process is replaced by one that serves from its main thread, where signals can be
handled, and that watches only sources.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, Protocol

import click
from chalice.cli.filewatch import RESTART_REQUEST_RC
from click.core import ParameterSource

from infra.command import WORKER
from infra.local.wire import STAGE

ROOT = Path(__file__).parent.parent.parent
# The exit code that makes Chalice's autoreload start the process again.
RESTART = RESTART_REQUEST_RC
_LOOK_EVERY_SECONDS = 1


class _Factory(Protocol):
    """The parts used here of Chalice's CLIFactory, which loads the project's configuration."""

    def create_config_obj(self, chalice_stage_name: str) -> Any: ...


def serve_from_the_main_thread() -> NoReturn:
    """Replace this process by one that runs the same command without Chalice's autoreload."""
    again = "import sys; from chalice.cli import main; sys.exit(main())"
    os.execv(sys.executable, [sys.executable, "-c", again, *sys.argv[1:], "--no-autoreload"])  # noqa: S606  this very command


def before_local(context: click.Context) -> None:
    """Make `chalice local` serve a laptop. Exits with a sentence for any stage but `local`."""
    stage = context.params["stage"]
    if context.get_parameter_source("stage") is ParameterSource.DEFAULT:
        _take_settings(context.obj["factory"], stage)
    elif stage != STAGE:
        sys.exit(
            f"the stage {stage} is not served on a laptop: type `chalice local` alone, or "
            f"`chalice deploy --stage {stage}` to deploy it"
        )
    from infra.local import run

    run.start()


def _take_settings(factory: _Factory, default: str) -> None:
    """Replace the environment variables of Chalice's default stage by those of `local`."""
    for name, value in factory.create_config_obj(
        chalice_stage_name=default
    ).environment_variables.items():
        if os.environ.get(name) == value:
            del os.environ[name]
    os.environ.update(factory.create_config_obj(chalice_stage_name=STAGE).environment_variables)


def watch_sources(changed: Callable[[], None], abandoned: Callable[[], None]) -> None:
    """Watch the sources in a thread: call `changed` at a change, `abandoned` when autoreload ends.

    Each is called at most once. Does nothing in a process that autoreload has not started.
    """
    if WORKER in os.environ:
        threading.Thread(
            target=_watch, args=(changed, abandoned, os.getppid(), dict(_sources())), daemon=True
        ).start()


def _watch(
    changed: Callable[[], None], abandoned: Callable[[], None], parent: int, known: dict[Path, int]
) -> None:
    while os.getppid() == parent:
        if dict(_sources()) != known:
            changed()
            return
        # Poll: the standard library cannot watch files.
        time.sleep(_LOOK_EVERY_SECONDS)
    abandoned()


def _sources() -> Iterator[tuple[Path, int]]:
    """Yield each source file that a laptop runs, with its modification time in nanoseconds."""
    patterns = (
        "app.py",
        ".chalice/config.json",
        "infra/template.yaml",
        "chalicelib/**/*.py",
        "infra/**/*.py",
    )
    for path in (path for pattern in patterns for path in ROOT.glob(pattern)):
        try:
            yield path, path.stat().st_mtime_ns
        except FileNotFoundError:
            # The file was deleted after it was listed.
            continue

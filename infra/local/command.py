"""Make `chalice local`, however it is typed, serve the laptop that `make run` serves.

Chalice calls its stage `dev` unless it is told another one; only the stage `local` runs on a
laptop, so it takes the place of Chalice's default. A stage that was typed is never replaced.

Chalice's autoreload serves from a thread of a second process, restarts it whenever any file below
the project changes, the laptop's database included, and starts it again when it exits with 3. That
process is replaced here by one that serves from its main thread, where signals can be handled, and
watches sources alone.
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
# With it Chalice's autoreload is asked for a new start.
RESTART = RESTART_REQUEST_RC
_LOOK_EVERY_SECONDS = 1


class _Factory(Protocol):
    """What Chalice's command line reads the project with."""

    def create_config_obj(self, chalice_stage_name: str) -> Any: ...


def serve_from_the_main_thread() -> NoReturn:
    """Run the command once more in the place of this process, without Chalice's autoreload."""
    again = "import sys; from chalice.cli import main; sys.exit(main())"
    os.execv(sys.executable, [sys.executable, "-c", again, *sys.argv[1:], "--no-autoreload"])  # noqa: S606  this very command


def before_local(context: click.Context) -> None:
    """Have `chalice local` serve a laptop. Exits with a sentence for the stage of a deploy."""
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
    """Replace the environment of Chalice's default stage by that of the stage `local`."""
    for name, value in factory.create_config_obj(
        chalice_stage_name=default
    ).environment_variables.items():
        if os.environ.get(name) == value:
            del os.environ[name]
    os.environ.update(factory.create_config_obj(chalice_stage_name=STAGE).environment_variables)


def watch_sources(changed: Callable[[], None], abandoned: Callable[[], None]) -> None:
    """Watch the sources in a thread: call `changed` at a change, `abandoned` when autoreload ends.

    Either is called once at most.

    Does nothing in a process that autoreload has not started.
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
        # The standard library has no notice of changed files.
        time.sleep(_LOOK_EVERY_SECONDS)
    abandoned()


def _sources() -> Iterator[tuple[Path, int]]:
    """Yield each file that a laptop is made of, with the time of its last change in nanoseconds."""
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
            # Deleted between the two.
            continue

"""Prepare the Chalice command that imports the app: `local`, `deploy` or `package`."""

from __future__ import annotations

import os
import sys

import click

# Chalice's autoreload sets this variable in the process that serves. That process imports the app
# in a thread.
WORKER = "CHALICE_WORKER"
_NO_PACKAGE = (
    "Resona has no package: Chalice's would lack gateway responses, retries and limits. "
    "`make deploy STAGE=dev` deploys; docs/deploy.md has its commands for pipelines."
)


def before_chalice() -> None:
    """Prepare the running command. It may replace the process, or exit with a sentence."""
    # Click has a context only in the main thread.
    context = click.get_current_context(silent=True)
    if context is None and WORKER in os.environ:
        from infra.local.command import serve_from_the_main_thread

        serve_from_the_main_thread()
    elif context is not None and context.info_name == "local":
        from infra.local.command import before_local

        before_local(context)
    elif context is not None and context.info_name == "deploy":
        from infra.deploy.hook import before_deploy

        before_deploy(context)
    elif context is not None and context.info_name == "package":
        sys.exit(_NO_PACKAGE)

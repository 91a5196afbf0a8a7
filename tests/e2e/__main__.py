"""A stage deployed to ministack by the commands of `make deploy`, and the acceptance suite against
what serves there: `make e2e`.

The deployed executor calls public addresses alone, and there is no switch in it for a test. So all
of this runs in a network namespace of its own, whose loopback has a public address too: there the
receiver listens, and nothing leaves the machine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from chalice.config import Config
from chalice.deploy.packager import DependencyBuilder as PipDependencyBuilder
from chalice.deploy.packager import LambdaDeploymentPackager, PipRunner, SubprocessPip
from chalice.utils import UI, OSUtils

from tests.e2e.inside import ARCHITECTURE, CHECKOUT, ROOT

_HELP = """make e2e needs a network namespace and a mount namespace of its own, and this user may
  have none: unshare (of util-linux) and ip (of iproute2) have to be there, on Linux; then be root,
  or have `sudo` without a password (as GitHub's runners have), or let users have namespaces:
  sysctl kernel.unprivileged_userns_clone=1, and on Ubuntu 24.04
  kernel.apparmor_restrict_unprivileged_userns=0.
"""


def entering() -> list[str] | None:
    """Return the command that runs another in namespaces of its own; None if this user may not."""
    plain = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--"]
    ways = (
        [plain]
        if os.geteuid() == 0
        else [
            [*plain[:-1], "--user", "--map-root-user", "--"],
            ["sudo", "--non-interactive", "-E", *plain],
        ]
    )
    return next((way for way in ways if _works([*way, "ip", "link", "set", "lo", "up"])), None)


def _works(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def copy_checkout() -> None:
    """Copy what a deploy reads, and let Chalice build the package: inside the namespace nothing can
    be downloaded.

    ministack runs the functions on this machine: of the compiled wheels it takes those that fit.
    """
    shutil.rmtree(CHECKOUT, ignore_errors=True)
    for name in ("chalicelib", "infra", ".chalice"):
        shutil.copytree(
            ROOT / name,
            CHECKOUT / name,
            ignore=shutil.ignore_patterns("__pycache__", "deployed", "deployments"),
        )
    for name in ("app.py", "requirements.txt"):
        shutil.copy(ROOT / name, CHECKOUT / name)
    path = CHECKOUT / ".chalice" / "config.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "lambda_architecture": ARCHITECTURE})
    )
    files, ui = OSUtils(), UI()
    dependencies = PipDependencyBuilder(
        files, PipRunner(SubprocessPip(files), files), architecture=ARCHITECTURE
    )
    packager = LambdaDeploymentPackager(files, dependencies, ui, architecture=ARCHITECTURE)
    packager.create_deployment_package(str(CHECKOUT), Config.create().lambda_python_version)


def main(arguments: list[str]) -> int:
    way = entering()
    if way is None:
        print(_HELP, file=sys.stderr)
        return 2
    copy_checkout()
    return subprocess.run(
        [*way, sys.executable, "-m", "tests.e2e.inside", *arguments], cwd=Path.cwd(), check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

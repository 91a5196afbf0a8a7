"""The package of a stage, deployed by CloudFormation to ministack, and the acceptance suite against
what serves there: `make e2e`.

The packaged executor calls public addresses alone, and there is no switch in it for a test. So all
of this runs in a network namespace of its own, whose loopback has a public address too: there the
receiver listens, and nothing leaves the machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from infra.package import package
from tests.e2e.inside import ARCHITECTURE, FOLDER, STAGE

_HELP = """make e2e needs a network namespace and a mount namespace of its own, and this user may have none:
  unshare (of util-linux) and ip (of iproute2) have to be there, on Linux;
  then be root, or have `sudo` without a password (as GitHub's runners have), or let users have namespaces:
  sysctl kernel.unprivileged_userns_clone=1, and on Ubuntu 24.04 kernel.apparmor_restrict_unprivileged_userns=0.
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


def main(arguments: list[str]) -> int:
    way = entering()
    if way is None:
        print(_HELP, file=sys.stderr)
        return 2
    # ministack runs the functions on this machine: of the compiled wheels it takes those that fit,
    # and all the rest is the same.
    package(STAGE, FOLDER / "package", ARCHITECTURE)
    return subprocess.run(
        [*way, sys.executable, "-m", "tests.e2e.inside", *arguments], cwd=Path.cwd(), check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

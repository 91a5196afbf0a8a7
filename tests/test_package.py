"""The deployed package cannot call addresses that are not public, whatever its environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.infra.packager import new_packager
from tests.outbound.servers import serving

ROOT = Path(__file__).parent.parent
NOT_OURS = shutil.ignore_patterns(
    ".venv", ".git", ".resona*", "__pycache__", ".*_cache", ".hypothesis", "deployments"
)

# Run inside the unpacked package: what it says at its end is whether it sent anything, and to whom
# it would connect.
EXECUTOR = """
import sys
from pathlib import Path
heard = []
def hear(event, given):
    if event in ("socket.connect", "socket.sendto"):
        heard.append(given[1])
sys.addaudithook(hear)

from datetime import timedelta
from chalicelib.handlers import executor
from chalicelib.domain.request import Request
from chalicelib.domain.secrets import Credentials
from chalicelib.outbound.address_guard import PUBLIC

send = executor.firing.get().sender.send
assert send.keywords == {"guard": PUBLIC, "https_only": False}
hosts = "127.0.0.1 localhost 127.1 0x7f.1 2130706433 [::1] [::ffff:127.0.0.1] app.localhost"
hosts += " beside 10.0.0.1 192.168.1.1 169.254.169.254"
for host in hosts.split():
    request = Request(f"http://{host}:{sys.argv[1]}/", "POST", {})
    credentials, second = Credentials(("whsec_dGVzdA==",)), timedelta(seconds=1)
    print(send(request, run_headers={}, timeout=second, credentials=credentials).outcome)
assert Path(executor.__file__).is_relative_to(Path.cwd())
assert not {"infra", "app", "tests"} & {name.split(".")[0] for name in sys.modules}
print("connected:", heard)
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that holds the unpacked package, and nothing else."""
    project, unpacked = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("package")
    shutil.copytree(ROOT, project, ignore=NOT_OURS, dirs_exist_ok=True)
    assert (project / "infra" / "local" / "guard.py").exists()
    with zipfile.ZipFile(
        new_packager().create_deployment_package(str(project), "python3.12")
    ) as made:
        made.extractall(unpacked)
    return unpacked


def run(package: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the package, which finds nothing else of the project."""
    environment = {"PATH": os.environ["PATH"], **environment}
    code = f"import sys; assert {str(ROOT)!r} not in sys.path\n{arguments[0]}"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments[1:]],
        cwd=package,
        env=environment,
        capture_output=True,
        text=True,
    )


def named() -> set[str]:
    """Return every variable that our sources name, and those of Chalice and Lambda that tell a
    laptop from the cloud.
    """
    sources = [
        ROOT / "app.py",
        *(ROOT / "chalicelib").rglob("*.py"),
        *(ROOT / "infra").rglob("*.py"),
    ]
    found = {
        name
        for path in sources
        for name in re.findall(r'"((?:RESONA|AWS|CHALICE)_[A-Z_]+|AUTH)"', path.read_text())
    }
    assert len(found) > 15, "the test no longer finds the settings"
    return found | {
        "AWS_CHALICE_CLI_MODE",
        "CHALICE_STAGE",
        "CHALICE_WORKER",
        "STAGE",
        "DEBUG",
        "AWS_SAM_LOCAL",
        "IS_LOCAL",
    }


def test_a_package_holds_what_is_deployed_and_nothing_of_the_laptop_or_the_tests(
    package: Path,
) -> None:
    found = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    ours = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "chalicelib").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert found == {"app.py", "chalice/__init__.py", "chalice/app.py"} | ours


@pytest.mark.parametrize("stage", ["prod", "local"])
def test_a_package_serves_every_stage_alike_and_has_no_command_of_chalice_s(
    package: Path, stage: str
) -> None:
    code = "import app, sys; print(len(app.app.routes) > 10, 'infra' in sys.modules)"
    deployed = run(package, code, RESONA_STAGE=stage)
    assert (deployed.returncode, deployed.stdout) == (0, "True False\n"), deployed.stderr
    typed = run(package, code, RESONA_STAGE=stage, AWS_CHALICE_CLI_MODE="true")
    assert (typed.returncode, typed.stdout) == (1, "")
    assert typed.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'infra'"


@pytest.mark.parametrize("hope", ["local", "true", "*", "127.0.0.1"])
def test_no_environment_makes_a_packaged_executor_call_what_is_not_public(
    package: Path, hope: str
) -> None:
    numbers = dict.fromkeys(
        [
            "RESONA_RUN_RETENTION",
            "RESONA_JOBS_QUOTA",
            "RESONA_SECRETS_QUOTA",
            "RESONA_REGISTRATIONS_PER_MINUTE",
        ],
        "1",
    )
    numbers["RESONA_CONCURRENCY"] = "2"
    numbers["RESONA_TENANT_SHARE"] = numbers["RESONA_TENANT_LEAST"] = "5"
    numbers["RESONA_NOTICE_TOPICS"] = ""
    # Botocore takes no hopes in these.
    numbers["RESONA_REQUIRE_HTTPS"] = "false"
    cloud = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
    }
    with serving([{"send": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}]) as server:
        # Botocore would look for a profile of that name.
        hopes = dict.fromkeys(named() - {"AWS_PROFILE"}, hope)
        done = run(package, EXECUTOR, str(server.port), **{**hopes, **cloud, **numbers})
        assert done.stdout.splitlines() == ["blocked"] * 12 + ["connected: []"], done.stderr
        assert server.seen == []

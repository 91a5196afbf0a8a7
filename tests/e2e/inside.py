"""What `make e2e` runs in its namespaces: ministack, the deploy, a key, the tests.

Arguments are pytest's.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import requests

from tests.e2e.exceptions import DIFFERENCES, EXCEPTIONS

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / ".build" / "end-to-end"
# The copy of the checkout that is deployed from.
CHECKOUT = FOLDER / "checkout"
STAGE, REGION, ACCOUNT = "dev", "us-east-1", "000000000000"
ARCHITECTURE = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"

# Nothing but this machine's own loopback, in the namespace; outside, it is example.com's.
PUBLIC = "93.184.215.14"
# A public name that leads inward, as a hostile one would.
INWARD = "inward.example.com"
HOST, PORT, RECEIVER_PORT = f"{REGION}.amazonaws.com", 4566, 9000
ENDPOINT = f"http://127.0.0.1:{PORT}"
# Each environment is a process of ours, and a machine of CI has two cores.
SLACK_SECONDS = "5"
CLIENTS, DELIVERIES = 8, 10
CREDENTIALS = {
    "AWS_ENDPOINT_URL": ENDPOINT,
    "AWS_ACCESS_KEY_ID": ACCOUNT,
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
}


def client(service: str) -> Any:
    """Make the client of a service of ministack's."""
    make: Any = boto3.client
    return make(
        service,
        endpoint_url=ENDPOINT,
        region_name=REGION,
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key="none",
    )


def set_up_network() -> Path:
    """Give loopback the public address, and return the file of host names, which is this
    namespace's own.
    """
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", f"{PUBLIC}/32", "dev", "lo")
    hosts = FOLDER / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {INWARD}\n")
    run("mount", "--bind", str(hosts), "/etc/hosts")
    return hosts


def run(*command: str, folder: Path = ROOT, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@contextmanager
def ministack() -> Iterator[None]:
    """Serve ministack, with an environment that holds nothing of ours: its functions inherit it."""
    scratch = FOLDER / "tmp"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "GATEWAY_PORT": str(PORT),
        "MINISTACK_HOST": HOST,
        # The functions may do what their policies say, and nothing else.
        "AUTH": "true",
        # Nobody is to be started anew because it was quiet for a while.
        "LAMBDA_WARM_TTL_SECONDS": "3600",
    }
    python = [str(FOLDER / name / "bin" / "python") for name in ("ministack", "lambda")]
    with (FOLDER / "ministack.log").open("wb") as log:
        process = subprocess.Popen(
            [python[0], str(Path(__file__).parent / "serve.py"), python[1]],
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            until = time.monotonic() + 60
            while not _is_up():
                assert process.poll() is None and time.monotonic() < until, (
                    FOLDER / "ministack.log"
                ).read_text()
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)
            shutil.rmtree(scratch, ignore_errors=True)


def _is_up() -> bool:
    try:
        return requests.get(f"{ENDPOINT}/_ministack/health", timeout=1).status_code == 200
    except requests.RequestException:
        return False


def deploy() -> str:
    """Type what `make deploy` types, but for the test of https, which is not served here; return
    what the last command says.
    """
    python, chalice = (str(Path(sys.executable).with_name(name)) for name in ("python", "chalice"))
    environment = {**CREDENTIALS, "PYTHONDONTWRITEBYTECODE": "1"}
    run(
        python,
        "-m",
        "infra.deploy",
        "stack",
        "--stage",
        STAGE,
        folder=CHECKOUT,
        environment=environment,
    )
    run(chalice, "deploy", "--stage", STAGE, folder=CHECKOUT, environment=environment)
    # Once more, from a clone that knows nothing of the first: it takes over what is there.
    shutil.rmtree(CHECKOUT / ".chalice" / "deployed")
    run(chalice, "deploy", "--stage", STAGE, folder=CHECKOUT, environment=environment)
    return run(
        python,
        "-m",
        "infra.deploy",
        "finish",
        "--stage",
        STAGE,
        folder=CHECKOUT,
        environment=environment,
    )


def bound_deliveries() -> None:
    """Let so many batches be delivered at once: here each is a process, and the deploy allows
    hundreds.
    """
    functions = client("lambda")
    (mapping,) = functions.list_event_source_mappings(FunctionName=f"resona-{STAGE}-deliver")[
        "EventSourceMappings"
    ]
    functions.update_event_source_mapping(
        UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": DELIVERIES}
    )


def warm_up(url: str) -> None:
    """Have as many environments there as the suite has clients, and as there are deliveries, at
    once: what is timed is not their start.
    """
    deliver = {"FunctionName": f"resona-{STAGE}-deliver", "Payload": b'{"Records": []}'}
    functions = client("lambda")
    with ThreadPoolExecutor(CLIENTS) as threads:
        for answer in threads.map(
            lambda _: requests.get(f"{url}/health", timeout=120), range(CLIENTS)
        ):
            assert answer.status_code == 200, f"GET /health: {answer.status_code} {answer.text}"
        for done in threads.map(lambda _: functions.invoke(**deliver), range(DELIVERIES)):
            assert "FunctionError" not in done, f"deliver: {done['Payload'].read().decode()}"


def test(served: dict[str, str], arguments: list[str]) -> int:
    """Run pytest against what is served; return its exit code.

    It leaves no files: this may be root, whose they would be.
    """
    pytest = [sys.executable, "-m", "pytest", "-rs", "--no-cov", "-p", "no:cacheprovider"]
    left_out = [f"--deselect={test}" for test in EXCEPTIONS]
    environment = {
        **os.environ,
        **CREDENTIALS,
        **served,
        "RESONA_E2E": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        [*pytest, *left_out, *arguments], cwd=ROOT, env=environment, check=False
    ).returncode


def main(arguments: list[str]) -> int:
    hosts = set_up_network()
    began = time.monotonic()
    with ministack():
        told = deploy()
        print(f"Deployed to ministack after {time.monotonic() - began:.1f} s", flush=True)
        (api,) = client("apigateway").get_rest_apis()["items"]
        name = f"{api['id']}.execute-api.{HOST}"
        assert f"https://{name}/api\n" in told
        with hosts.open("a") as file:
            file.write(f"{PUBLIC} {name}\n")
        key = run(
            sys.executable,
            "-m",
            "infra.keys",
            "create",
            "--stage",
            STAGE,
            "--tenant",
            "acceptance",
            environment=CREDENTIALS,
        )
        served = {
            "RESONA_SLACK": SLACK_SECONDS,
            "RESONA_URL": f"http://{name}:{PORT}/api",
            "RESONA_KEY": key,
            "RESONA_RECEIVER": f"http://{PUBLIC}:{RECEIVER_PORT}",
        }
        bound_deliveries()
        warm_up(served["RESONA_URL"])
        print(f"Warm after {time.monotonic() - began:.1f} s", flush=True)
        code = test(served, arguments or ["tests/acceptance", "tests/e2e"])
    print(
        f"{time.monotonic() - began:.0f} s, beside the packaging. Left out of the acceptance "
        "suite, beside what is for laptops alone:"
    )
    for what, why in EXCEPTIONS.items():
        print(f"  {what}: {why}")
    print("Not as it is on AWS:")
    for what, why in DIFFERENCES.items():
        print(f"  {what}: {why}")
    if code:
        print(
            (
                "What ministack and the functions said is in "
                f"{FOLDER.relative_to(ROOT) / 'ministack.log'}"
            ),
            file=sys.stderr,
        )
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

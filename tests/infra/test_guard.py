"""A laptop may call private addresses; deployed code cannot be configured to."""

from __future__ import annotations

import ast
import ipaddress
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from chalicelib.domain.errors import InvalidInput
from chalicelib.domain.request import Request, check
from chalicelib.domain.run import Outcome
from chalicelib.domain.secrets import Credentials
from chalicelib.outbound import address_guard
from chalicelib.outbound.address_guard import PUBLIC, Guard
from chalicelib.outbound.send import send
from infra.local.guard import LOCAL, beside
from tests.outbound.servers import serving

ROOT = Path(__file__).parent.parent.parent
RUN, SIGNED = {"Resona-Run-Id": "run_1"}, Credentials(("whsec_dGVzdA==",))
OK = [{"send": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"}]


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8000/",
        "http://127.0.0.1:8000/",
        "http://127.0.0.2/",
        "http://[::1]:8000/",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://172.16.0.1/",
        "http://[fd00::1]/",
        "http://api:8000/",
        "http://host.docker.internal/",
        "http://printer.local/",
        "https://example.com/",
        "http://8.8.8.8/",
    ],
)
def test_a_laptop_may_call_what_runs_beside_it(url: str) -> None:
    check(Request(url, "POST", {}), refuse_host=LOCAL.refuse_host)


@pytest.mark.parametrize(
    "host",
    [
        "0x7f.1",
        "127.1",
        "2130706433",
        "0177.0.0.1",
        "0x7f000001",
        "127.0.0.01",
        "1.1.1.256",
        "169.254.169.254",
        "168.63.129.16",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::]",
        "[fe80::1]",
        "[::1%25lo]",
        "[64:ff9b::7f00:1]",
        "224.0.0.1",
        "exa mple",
        "a..b",
        "-a",
    ],
)
def test_numbers_in_disguise_and_the_clouds_own_addresses_stay_refused_on_a_laptop(
    host: str,
) -> None:
    assert LOCAL.refuse_host(host) is not None
    with pytest.raises(InvalidInput):
        check(Request(f"http://{host}/", "POST", {}), refuse_host=LOCAL.refuse_host)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [("127.0.0.1", True), ("::1", True), ("10.0.0.1", True), ("8.8.8.8", True)],
)
def test_a_name_may_resolve_to_a_private_address_on_a_laptop(address: str, allowed: bool) -> None:
    assert LOCAL.refuse_address(ipaddress.ip_address(address)) is None


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "168.63.129.16",
        "fe80::1",
        "::ffff:127.0.0.1",
        "fd00::1%eth0",
        "0.0.0.0",
        "224.0.0.1",
    ],
)
def test_a_name_may_not_resolve_to_the_clouds_own_addresses_on_a_laptop(address: str) -> None:
    assert LOCAL.refuse_address(ipaddress.ip_address(address)) is not None


def test_a_laptop_calls_localhost_by_its_name_and_what_ships_does_not() -> None:
    with serving(OK) as server:
        request = Request(f"http://localhost:{server.port}/", "POST", {})
        local = send(
            request, run_headers=RUN, timeout=timedelta(seconds=2), credentials=SIGNED, guard=LOCAL
        )
        deployed = send(request, run_headers=RUN, timeout=timedelta(seconds=2), credentials=SIGNED)
        assert (local.outcome, deployed.outcome, len(server.seen)) == (
            Outcome.SUCCESS,
            Outcome.BLOCKED,
            1,
        )


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "[::1]"])
def test_no_job_calls_the_process_that_keeps_the_laptop_s_jobs(host: str) -> None:
    with serving(OK) as server:
        request = Request(f"http://{host}:{server.port}/", "POST", {})
        sent = send(
            request,
            run_headers=RUN,
            timeout=timedelta(seconds=2),
            credentials=SIGNED,
            guard=beside(server.port),
        )
        assert (sent.outcome, server.seen) == (Outcome.BLOCKED, [])
        assert sent.error is not None
        assert "no job may call" in sent.error


def test_a_job_calls_every_other_port_beside_it() -> None:
    with serving(OK) as server:
        request = Request(f"http://localhost:{server.port}/", "POST", {})
        sent = send(
            request,
            run_headers=RUN,
            timeout=timedelta(seconds=2),
            credentials=SIGNED,
            guard=beside(server.port + 1),
        )
        assert (sent.outcome, len(server.seen)) == (Outcome.SUCCESS, 1)


def shipped() -> list[Path]:
    """Return every module that Chalice packages: app.py and chalicelib."""
    return [ROOT / "app.py", *sorted((ROOT / "chalicelib").rglob("*.py"))]


def test_only_one_guard_is_made_by_what_ships() -> None:
    made = [
        (path.name, ast.unparse(call))
        for path in shipped()
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func).rpartition(".")[2] in ("Guard", "replace")
        and "uard" in ast.unparse(call)
    ]
    assert made == [("address_guard.py", "Guard(refuse_private_host, refuse_private_address)")]


def test_what_ships_neither_reads_settings_where_it_judges_nor_lets_a_guard_be_changed() -> None:
    for name in (
        "domain/request.py",
        "domain/address.py",
        "outbound/address_guard.py",
        "outbound/send.py",
    ):
        names = {
            ast.unparse(node)
            for node in ast.walk(ast.parse((ROOT / "chalicelib" / name).read_text()))
            if isinstance(node, ast.Attribute)
        }
        assert not {one for one in names if one.startswith(("os.environ", "os.getenv"))}, name
    with pytest.raises(AttributeError):
        PUBLIC.refuse_host = lambda host: None  # type: ignore[misc]
    assert [value for value in vars(address_guard).values() if isinstance(value, Guard)] == [PUBLIC]


def test_no_environment_makes_what_ships_call_loopback() -> None:
    """Every variable that the project's sources name, and Chalice's and AWS's own, set to what one
    would hope for.
    """
    code = (
        "from datetime import timedelta\n"
        "from chalicelib.domain.request import Request\n"
        "from chalicelib.domain.secrets import Credentials\n"
        "from chalicelib.outbound.send import send\n"
        "for host in ('127.0.0.1', 'localhost', '10.0.0.1', '[::1]'):\n"
        "    request, second = Request(f'http://{host}:9/', 'GET', {}), timedelta(seconds=1)\n"
        "    print(send(request, run_headers={}, timeout=second, "
        "credentials=Credentials(())).outcome)"
    )
    named = {
        node.value
        for path in [*shipped(), *sorted((ROOT / "infra").rglob("*.py"))]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.isupper()
        and node.value.isidentifier()
    }
    assert "RESONA_STAGE" in named or len(named) > 3, "the test no longer finds the settings"
    hopeful = dict.fromkeys(
        named
        | {
            "AWS_CHALICE_CLI_MODE",
            "CHALICE_STAGE",
            "STAGE",
            "DEBUG",
            "RESONA_STAGE",
            "PYTEST_VERSION",
        },
        "local",
    )
    environment = {**hopeful, "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["blocked"] * 4

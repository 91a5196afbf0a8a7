"""Call servers one after the other, and measure this process's peak memory during each call.

Standard input: `{"trusted": pem, "asked": [{"url", "method", "timeout"}, …]}`; standard output:
`[[outcome, bytes], …]`. The bytes are the peak of the process's resident memory during the call, as
Linux counts it, above what was resident before the first: what one call leaves for the next to use
is not taken off.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

from chalicelib.domain.request import Request
from chalicelib.domain.secrets import Credentials
from chalicelib.outbound import transport
from chalicelib.outbound.send import send
from tests.outbound.servers import LOOPBACK

RUN, SIGNED = {"Resona-Run-Id": "run_1"}, Credentials(("whsec_dGVzdA==",))


def main() -> None:
    given = json.load(sys.stdin)
    transport.tls().load_verify_locations(cadata=given["trusted"])
    requests = [
        (Request(one["url"], one["method"], {}), timedelta(seconds=one["timeout"]))
        for one in given["asked"]
    ]
    # What the first exchange of a kind imports and caches stays: it is no answer's.
    for scheme in ("http:", "https:"):
        called(*next(one for one in requests if one[0].url.startswith(scheme)), 0)
    before = resident("VmRSS")
    print(json.dumps([called(*one, before) for one in requests]))


def called(request: Request, timeout: timedelta, before: int) -> tuple[str, int]:
    # 5: the peak begins anew.
    Path("/proc/self/clear_refs").write_text("5")
    result = send(request, run_headers=RUN, timeout=timeout, credentials=SIGNED, guard=LOOPBACK)
    return result.outcome, resident("VmHWM") - before


def resident(name: str) -> int:
    line = next(
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith(f"{name}:")
    )
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()

"""Record what curl makes of each answer of answers.json: `python -m tests.outbound.record_curl`.

The results in the file are those of Debian 12's curl 7.88.1. Tests read the file and need no curl.
"""

from __future__ import annotations

import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.outbound import answers
from tests.outbound.servers import AUTHORITY

# Loopback answers within milliseconds: what has not come by then does not come.
_SECONDS = "1.5"
_OPTIONS = ["--disable", "--silent", "--noproxy", "*", "--http1.1", "--max-time", _SECONDS]


def recorded(answer: dict[str, Any]) -> dict[str, Any]:
    """Ask a server that gives this answer by curl; return curl's exit code, status and body."""
    scheme, method = answers.scheme_of(answer), answer.get("method", "GET")
    with answers.answering(answer, scheme) as server, tempfile.TemporaryDirectory() as folder:
        authority, body = Path(folder) / "authority.pem", Path(folder) / "body"
        authority.write_text(AUTHORITY.pem)
        body.touch()
        asks = ["--head"] if method == "HEAD" else ["--request", method]
        to = f"{answers.HOST}:{server.port}"
        asks += ["--cacert", str(authority), "--connect-to", f"{to}:127.0.0.1:{server.port}"]
        asks += ["--output", str(body), "--write-out", "%{http_code}", f"{scheme}://{to}/"]
        done = subprocess.run(["curl", *_OPTIONS, *asks], capture_output=True, text=True)
        # With --head, curl writes the headers there.
        came = b"" if method == "HEAD" else body.read_bytes()
        return {"exit": done.returncode, "status": int(done.stdout), "body": answers.told(came)}


def main() -> None:
    """Record every answer anew."""
    corpus = answers.load()
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(recorded, corpus["answers"]))
    for answer, curl in zip(corpus["answers"], found, strict=True):
        answer["curl"] = curl
    answers.save(corpus)


if __name__ == "__main__":
    main()

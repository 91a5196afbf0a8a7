from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.telemetry.process import Written, lambda_process


@pytest.fixture
def written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Written]:
    """What a process of Lambda writes that is invoked in the test."""
    with lambda_process(monkeypatch):
        yield Written(capsys)

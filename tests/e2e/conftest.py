"""Fixtures of `make e2e`: the stage that it has deployed to ministack."""

from __future__ import annotations

import os

import pytest

from tests.acceptance.remote import Remote, of_environment

collect_ignore_glob = [] if os.environ.get("RESONA_E2E") else ["test_*.py"]


@pytest.fixture(scope="session")
def stage() -> Remote:
    return of_environment()

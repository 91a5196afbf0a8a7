"""Mark tests that take too long for `make test`; they run in `make soak`, some in the workflow."""

from __future__ import annotations

import os

import pytest

IS_SOAK = bool(os.environ.get("RESONA_SOAK"))

only_in_soak = pytest.mark.skipif(not IS_SOAK, reason="takes its time: make soak")

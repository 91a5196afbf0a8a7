"""What takes too long for `make test`, and is run by `make soak`; of tests/infra, by the workflow
too.
"""

from __future__ import annotations

import os

import pytest

IS_SOAK = bool(os.environ.get("RESONA_SOAK"))

only_in_soak = pytest.mark.skipif(not IS_SOAK, reason="takes its time: make soak")

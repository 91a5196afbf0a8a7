"""Crons that people have written; `real_crons.txt` says where each kind was found."""

from __future__ import annotations

from pathlib import Path

_LINES = Path(__file__).with_suffix(".txt").read_text(encoding="ascii").splitlines()
REAL_CRONS = [line for line in _LINES if line and not line.startswith("#")]

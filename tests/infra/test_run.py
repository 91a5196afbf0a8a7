"""What a laptop prints itself, beside the lines of its log."""

from __future__ import annotations

import io
import logging
import queue
import threading
from logging.handlers import QueueListener
from typing import Any

from infra.local.run import LocalServer


def test_no_line_of_the_log_is_written_into_a_sentence() -> None:
    server: Any = object.__new__(LocalServer)
    handler = logging.StreamHandler(io.StringIO())
    server._lines = QueueListener(queue.Queue(), handler)
    record = logging.makeLogRecord({"msg": "a line"})
    writer = threading.Thread(target=handler.handle, args=(record,))
    with server._between_lines():
        print("Stopping.", end="", file=handler.stream)
        writer.start()
        writer.join(0.05)
        print(file=handler.stream)
    writer.join()
    assert handler.stream.getvalue() == "Stopping.\na line\n"

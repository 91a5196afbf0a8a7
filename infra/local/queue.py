"""SQS on a laptop: moto's queues, every message in the journal, and a long poll that sleeps."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from moto.sqs.models import SQSBackend, sqs_backends

from infra.local.journal import Journal
from infra.local.wire import ACCOUNT, REGION, Forward, Reply, Request

_KIND = "message"


class Queue:
    """Answers SQS's requests by moto.

    `_visible_at` maps the id of each message, of all queues, to when it can be received next.
    """

    def __init__(self, forward: Forward, journal: Journal) -> None:
        self._forward = forward
        self._journal = journal
        self._changed = threading.Condition()
        self._visible_at: dict[str, float] = {}
        self._by_receipt: dict[str, str] = {}

    @property
    def _backend(self) -> SQSBackend:
        return sqs_backends[ACCOUNT][REGION]

    def restore(self) -> None:
        """Send the journal's messages again, with the rest of their delays."""
        changes: list[tuple[str, str, Any]] = []
        for name, kept in self._journal.read(_KIND):
            delay = max(0, round(kept["visible_at"] - time.time()))
            message = self._backend.send_message(
                kept["queue"], kept["body"], delay_seconds=min(delay, 900), group_id=kept["group"]
            )
            self._visible_at[message.id] = time.time() + delay
            changes += [(_KIND, name, None), (_KIND, message.id, kept)]
        self._journal.write(changes)

    def answer(self, request: Request, operation: str) -> Reply:
        """Answer a request for `operation`, such as SendMessageBatch."""
        sent = json.loads(request.body or b"{}")
        if operation == "ReceiveMessage":
            return self._receive(request, sent)
        with self._changed:
            reply = self._forward(request)
            if reply.status == 200:
                self._note(operation, sent, json.loads(reply.body or b"{}"))
            self._changed.notify_all()
        return reply

    def _note(self, operation: str, sent: dict[str, Any], answered: dict[str, Any]) -> None:
        if operation not in ("SendMessageBatch", "DeleteMessageBatch"):
            raise NotImplementedError(f"Resona asks for no {operation}, so its laptop has none")
        entries = {entry["Id"]: entry for entry in sent["Entries"]}
        done = [(entries[one["Id"]], one) for one in answered.get("Successful", [])]
        if operation == "SendMessageBatch":
            queue = sent["QueueUrl"].rpartition("/")[2]
            self._note_sent(queue, [(entry, one["MessageId"]) for entry, one in done])
        else:
            self._note_deleted([entry["ReceiptHandle"] for entry, _ in done])

    def _note_sent(self, queue: str, messages: list[tuple[dict[str, Any], str]]) -> None:
        changes: list[tuple[str, str, Any]] = []
        for entry, name in messages:
            visible_at = time.time() + int(entry.get("DelaySeconds") or 0)
            self._visible_at[name] = visible_at
            kept = {
                "queue": queue,
                "body": entry["MessageBody"],
                "group": entry.get("MessageGroupId"),
                "visible_at": visible_at,
            }
            changes.append((_KIND, name, kept))
        self._journal.write(changes)

    def _note_deleted(self, receipts: list[str]) -> None:
        names = [
            name for name in (self._by_receipt.pop(receipt, None) for receipt in receipts) if name
        ]
        for name in names:
            self._visible_at.pop(name, None)
        self._journal.write([(_KIND, name, None) for name in names])

    def _receive(self, request: Request, sent: dict[str, Any]) -> Reply:
        until = time.time() + int(sent.pop("WaitTimeSeconds", 0) or 0)
        at_once = request.with_body(json.dumps({**sent, "WaitTimeSeconds": 0}).encode())
        visibility = int(sent.get("VisibilityTimeout") or 0)
        with self._changed:
            # moto's receive scans the whole queue, so do not poll it: ask once, then again when a
            # message has become visible.
            while True:
                reply = self._forward(at_once)
                messages = (
                    json.loads(reply.body or b"{}").get("Messages", [])
                    if reply.status == 200
                    else []
                )
                if messages or reply.status != 200 or not self._comes_before(until):
                    break
            now = time.time()
            for message in messages:
                self._by_receipt[message["ReceiptHandle"]] = message["MessageId"]
                self._visible_at[message["MessageId"]] = now + (
                    visibility or self._visibility(sent)
                )
        return reply

    def _comes_before(self, until: float) -> bool:
        """Wait until a message becomes visible; return False if none does before `until`."""
        # Ignore messages that were visible before moto was asked: moto did not return them, so they
        # are in another queue, or in the dead-letter queue.
        since = time.time() - 0.01
        while (now := time.time()) < until:
            soonest = min((at for at in self._visible_at.values() if at > since), default=until)
            # moto compares whole milliseconds: wait 2 ms more.
            if soonest + 0.002 <= now:
                return True
            self._changed.wait(max(0.002, min(soonest + 0.002, until) - now))
        return False

    def _visibility(self, sent: dict[str, Any]) -> float:
        queue: Any = self._backend.get_queue(sent["QueueUrl"].rpartition("/")[2])
        return float(queue.visibility_timeout)

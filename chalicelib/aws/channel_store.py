"""Channels of notices, in the table of jobs: one item per channel, in a partition per tenant.

    id         hash    notices#<tenant>
    part       range   the channel's name
    channel    JSON
    revision   counts puts

    part       range   last#<name>: the channel's last delivery that has ended
    delivery   JSON
    expires_at time to live, in seconds

    part       range   window#<name>: the last window of the channel's digest (`aws.digest_store`)
    notice_id  the id of the window's notice
    window     JSON
    expires_at time to live, in seconds

One consistent query reads all channels of a tenant, their last deliveries and their windows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from chalicelib.aws.digest_store import WINDOW, DigestStore
from chalicelib.aws.table import Condition, Item, Put, Table
from chalicelib.domain.channels import MOST_CHANNELS, Channel, Format
from chalicelib.domain.digests import Window
from chalicelib.domain.errors import ChannelNotFound, QuotaExceeded, Unavailable
from chalicelib.domain.exact_json import write
from chalicelib.domain.notices import Event
from chalicelib.domain.run import RunStatus
from chalicelib.runtime.backoff import tries

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_PART = "the job table"
_LAST = "last#"


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the last notice of a channel ended. `status_code` and `error` are of its last attempt."""

    notice_id: str
    event: str
    status: RunStatus
    finished_at: datetime
    status_code: int | None = None
    error: str | None = None


class ChannelStore:
    """Channels of notices. `topics` are the ARNs of the topics of SNS that they may name."""

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        sleep: Callable[[float], None] = time.sleep,
        topics: AbstractSet[str] = frozenset(),
    ) -> None:
        self.topics = topics
        self._table = Table(client, table, _PART, sleep)
        self._sleep = sleep
        self.digests = DigestStore(client, table, sleep)

    def all(self, tenant: str) -> list[Channel]:
        """Return the tenant's channels, by name. Read consistently."""
        return [channel for channel, _ in self.with_windows(tenant)]

    def with_windows(self, tenant: str) -> list[tuple[Channel, Window | None]]:
        """Return the tenant's channels, by name, each with its last window. Read consistently."""
        items = self._items(tenant)
        windows = {
            item["part"].removeprefix(WINDOW): _read_window(item)
            for item in items
            if "window" in item
        }
        return [(one, windows.get(one.name)) for one in _channels(tenant, items)]

    def with_deliveries(self, tenant: str) -> list[tuple[Channel, Delivery | None]]:
        """Return the tenant's channels, by name, each with its last delivery that has ended."""
        items = self._items(tenant)
        last = {
            item["part"].removeprefix(_LAST): _read_delivery(item["delivery"])
            for item in items
            if "delivery" in item
        }
        return [(one, last.get(one.name)) for one in _channels(tenant, items)]

    def _items(self, tenant: str) -> list[Item]:
        return self._table.query(Condition("id = :id", {":id": _partition(tenant)}))[0]

    def get(self, tenant: str, name: str) -> tuple[Channel, Delivery | None]:
        """Return a channel and its last delivery. Raises ChannelNotFound."""
        for channel, delivery in self.with_deliveries(tenant):
            if channel.name == name:
                return channel, delivery
        raise ChannelNotFound

    def put(self, new: Channel) -> Channel:
        """Create or replace the channel with this name, and return it as it is stored.

        A channel that is replaced keeps its token and its time of creation. If nothing else
        changes, nothing is written. A write that takes effect late cannot undo a later one. Raises
        QuotaExceeded, Unavailable.
        """
        for _ in tries(self._sleep):
            before = self._table.get(id=_partition(new.tenant), part=new.name)
            old = _read(new.tenant, before) if before else None
            if old is None and len(self.all(new.tenant)) >= MOST_CHANNELS:
                raise QuotaExceeded("channels", MOST_CHANNELS, retry_after=1)
            made = replace(new, token=old.token, created_at=old.created_at) if old else new
            if old and replace(made, updated_at=old.updated_at) == old:
                return old
            if self._write(made, before):
                return made
        raise Unavailable(_PART)

    def _write(self, channel: Channel, before: Item | None) -> bool:
        """Write a channel; return False if it was changed since it was read."""
        unchanged = Condition("attribute_not_exists(id)")
        if before is not None:
            unchanged = Condition("revision = :read", {":read": before["revision"]})
        item = {
            "id": _partition(channel.tenant),
            "part": channel.name,
            "channel": _dump(channel),
            "revision": before["revision"] + 1 if before else 1,
        }
        return self._table.put(item, unchanged)

    def delete(self, tenant: str, name: str) -> None:
        """Delete a channel. Raises ChannelNotFound."""
        self.get(tenant, name)
        for part in (name, _LAST + name, WINDOW + name):
            self._table.delete(id=_partition(tenant), part=part)

    def delivered(self, tenant: str, name: str, delivery: Delivery, expires_at: datetime) -> None:
        """Store how a notice of a channel ended, in the place of the one before."""
        text = write(
            [
                delivery.notice_id,
                delivery.event,
                delivery.status,
                delivery.finished_at.isoformat(),
                delivery.status_code,
                delivery.error,
            ]
        )
        place = {"id": _partition(tenant), "part": _LAST + name}
        self._table.put({**place, "delivery": text, "expires_at": int(expires_at.timestamp())})

    def opening(self, channel: Channel, window: Window, before: Window | None) -> Put:
        """Return the write of a channel's new window, if its last one is still `before`.

        It is None if the channel has none.
        """
        unchanged = Condition("attribute_not_exists(id)")
        if before is not None:
            unchanged = Condition("notice_id = :read", {":read": before.notice_id})
        item = {
            "id": _partition(channel.tenant),
            "part": WINDOW + channel.name,
            "notice_id": window.notice_id,
            "window": _dump_window(window),
            "expires_at": int(window.ends_at.timestamp()),
        }
        return Put(self._table.name, item, unchanged)


def _partition(tenant: str) -> str:
    return f"notices#{tenant}"


def _dump(channel: Channel) -> str:
    digest = {"digest": channel.digest.total_seconds()} if channel.digest else {}
    return write(
        {
            **digest,
            "token": channel.token,
            "url": channel.url,
            "events": sorted(channel.events),
            "format": channel.format,
            "label": list(channel.label) if channel.label else None,
            "after": channel.after,
            "created_at": channel.created_at.isoformat(),
            "updated_at": channel.updated_at.isoformat(),
        }
    )


def _channels(tenant: str, items: Iterable[Item]) -> list[Channel]:
    return [_read(tenant, item) for item in items if "channel" in item]


def _read(tenant: str, item: Item) -> Channel:
    raw: Any = json.loads(item["channel"])
    # A later release may have events that this one does not know.
    known = set(Event)
    return Channel(
        tenant=tenant,
        name=item["part"],
        token=raw["token"],
        url=raw["url"],
        events=frozenset(Event(event) for event in raw["events"] if event in known),
        created_at=datetime.fromisoformat(raw["created_at"]),
        updated_at=datetime.fromisoformat(raw["updated_at"]),
        format=Format(raw["format"]),
        label=(raw["label"][0], raw["label"][1]) if raw["label"] else None,
        after=raw["after"],
        digest=timedelta(seconds=raw["digest"]) if "digest" in raw else None,
    )


def _dump_window(window: Window) -> str:
    ends_at, length = window.ends_at.isoformat(), window.length.total_seconds()
    return write([ends_at, window.token, window.url, window.format, length])


def _read_window(item: Item) -> Window:
    ends_at, token, url, form, length = json.loads(item["window"])
    return Window(
        item["notice_id"],
        datetime.fromisoformat(ends_at),
        token,
        url,
        Format(form),
        timedelta(seconds=length),
    )


def _read_delivery(text: str) -> Delivery:
    notice_id, event, status, finished_at, status_code, error = json.loads(text)
    at = datetime.fromisoformat(finished_at)
    return Delivery(notice_id, event, RunStatus(status), at, status_code, error)

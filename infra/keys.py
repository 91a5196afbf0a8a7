"""The operator's keys: make one, list them, revoke one.

    python -m infra.keys create --stage prod --tenant acme [--scopes read,write] [--expires 90d]
    python -m infra.keys list --stage prod [--tenant acme]
    python -m infra.keys revoke --stage prod <key id, or the key>

For the stage `local` a laptop must run, in the folder that RESONA_HOME names; the table of every
other stage is found with AWS's usual credentials and region. A key is shown once, when it is made,
alone on standard output; nobody can show it again.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws import clients
from chalicelib.aws.api_key_store import ApiKeyStore
from chalicelib.domain.api_keys import KEY_ID, STAGE, TENANT, Scope, StoredApiKey, new_key, read_key
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.instant import format_instant, parse_instant
from chalicelib.handlers.authorizer import REMEMBERED_SECONDS
from chalicelib.runtime.clock import utc_now
from infra.local.template import read_template

_DAYS = re.compile(r"([1-9][0-9]{0,3})d", re.ASCII)
_COLUMNS = ("KEY ID", "TENANT", "SCOPES", "CREATED", "EXPIRES", "STATUS")


class Mistake(Exception):
    """What was asked for cannot be done; the sentence says why, and what to do."""


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments say.

    Return the exit code; what cannot be done is 1, with a sentence on standard error.
    """
    given, now = _parser().parse_args(arguments), utc_now()
    try:
        keys = open_store(given.stage)
        match given.action:
            case "create":
                create(
                    keys,
                    given.stage,
                    given.tenant,
                    given.scopes,
                    read_expiry(given.expires, now),
                    now,
                )
            case "list":
                show(keys, given.tenant, now)
            case _:
                revoke(keys, given.stage, given.key, now)
    except Mistake as mistake:
        print(mistake, file=sys.stderr)
        return 1
    except (Unavailable, ClientError, BotoCoreError) as error:
        print(_explained(error, given.stage), file=sys.stderr)
        return 1
    return 0


def open_store(stage: str) -> ApiKeyStore:
    """Return the stage's table of keys.

    Raises Mistake if it is a laptop's and none has run there, BotoCoreError without a region.
    """
    if stage == "local":
        from infra.local import access, run

        endpoint = access.noted_endpoint(run.home())
        if endpoint is None:
            raise Mistake(_no_laptop())
        run.use(endpoint)
    return ApiKeyStore(clients.dynamodb(), read_template(stage).table("keys"))


def create(
    keys: ApiKeyStore,
    stage: str,
    tenant: str,
    scopes: frozenset[Scope],
    expires_at: datetime | None,
    now: datetime,
) -> None:
    """Make a key and show it, this once. Raises Unavailable, ClientError."""
    key = new_key(stage)
    record = StoredApiKey(key.id, key.digest, tenant, scopes, now, expires_at)
    keys.add(record)
    print(key.text)
    print(
        f"This is key {key.id} of {tenant}, for {_scopes(record)}; it is shown this once.",
        file=sys.stderr,
    )


def show(keys: ApiKeyStore, tenant: str | None, now: datetime) -> None:
    """List the keys, those of one tenant or all, the oldest first.

    Raises Unavailable, ClientError.
    """
    records = sorted(keys.all(), key=lambda record: (record.tenant, record.created_at))
    rows = [_COLUMNS, *(_row(record, now) for record in records if tenant in (None, record.tenant))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        )


def revoke(keys: ApiKeyStore, stage: str, key_id: str, now: datetime) -> None:
    """Revoke a key; one that is revoked stays so.

    Raises Mistake if there is none, Unavailable, ClientError.
    """
    record = keys.revoke(key_id, now)
    if record is None or record.revoked_at is None:
        raise Mistake(f"there is no key {key_id} at the stage {stage}")
    print(f"Key {key_id} of {record.tenant} is revoked since {format_instant(record.revoked_at)}.")
    print(f"API Gateway may remember it for {REMEMBERED_SECONDS} seconds more.")


def read_expiry(text: str, now: datetime) -> datetime | None:
    """Read `90d`, an instant with its offset, or `never`, which is None.

    Raises Mistake, also for what has passed.
    """
    if text == "never":
        return None
    match = _DAYS.fullmatch(text)
    if match:
        return now + timedelta(days=int(match[1]))
    try:
        at = parse_instant(text)
    except ValueError as error:
        raise Mistake(
            "--expires: give days (90d), an instant with its offset (2027-01-31T00:00:00Z), or never"
        ) from error
    if at <= now:
        raise Mistake(f"--expires: {format_instant(at)} has passed")
    return at


def _row(record: StoredApiKey, now: datetime) -> tuple[str, ...]:
    expires = format_instant(record.expires_at) if record.expires_at else "never"
    return (
        record.id,
        record.tenant,
        _scopes(record),
        format_instant(record.created_at),
        expires,
        record.status(now).value,
    )


def _scopes(record: StoredApiKey) -> str:
    return ",".join(sorted(record.scopes))


def _no_laptop() -> str:
    from infra.local import run

    return f"no Resona runs in {run.home()}: start one with AUTH=required make run, or set RESONA_HOME to the folder of the one that runs"


def _explained(error: Exception, stage: str) -> str:
    cause = error.__cause__ if isinstance(error, Unavailable) else error
    if stage == "local" and isinstance(cause, BotoCoreError):
        return _no_laptop()
    if isinstance(cause, ClientError) and clients.code_of(cause) == "ResourceNotFoundException":
        return f"there is no table of keys for the stage {stage} in this account and region: is it deployed, and is this its region?"
    return f"the table of keys of the stage {stage} cannot be asked: {cause or error}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.keys", description="Make, list and revoke the keys of a stage."
    )
    actions = parser.add_subparsers(dest="action", required=True)
    making = actions.add_parser("create", help="make a key and show it, this once")
    listing = actions.add_parser("list", help="list keys, without what opens anything")
    revoking = actions.add_parser("revoke", help="revoke a key")
    for action in (making, listing, revoking):
        action.add_argument(
            "--stage", required=True, type=_stage, help="local, dev, prod or a name of your own"
        )
    making.add_argument("--tenant", required=True, type=_tenant, help="whose jobs the key opens")
    making.add_argument(
        "--scopes",
        default="read,write",
        type=_read_scopes,
        help="read, write, or both (the default)",
    )
    making.add_argument(
        "--expires", default="never", help="90d, 2027-01-31T00:00:00Z, or never (the default)"
    )
    listing.add_argument("--tenant", type=_tenant, help="only this tenant's keys")
    revoking.add_argument("key", type=_key_id, help="its id, or all of it")
    return parser


def _stage(text: str) -> str:
    if not STAGE.fullmatch(text):
        raise argparse.ArgumentTypeError(
            "a stage is 1 to 16 lower-case letters and digits, a letter first"
        )
    return text


def _tenant(text: str) -> str:
    if not TENANT.fullmatch(text):
        raise argparse.ArgumentTypeError(
            "a tenant is 1 to 63 of a-z 0-9 . _ -, a letter or digit first"
        )
    return text


def _read_scopes(text: str) -> frozenset[Scope]:
    try:
        return frozenset(map(Scope, text.split(",")))
    except ValueError as error:
        raise argparse.ArgumentTypeError("give read, write, or read,write") from error


def _key_id(text: str) -> str:
    key = read_key(text, text.split("_")[1]) if text.startswith("rsn_") else None
    key_id = key.id if key else text
    if not KEY_ID.fullmatch(key_id):
        # Without what was given: it may be a key with a slip in it.
        raise argparse.ArgumentTypeError(
            "give a key's id, 12 letters and digits, or all of the key"
        )
    return key_id


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

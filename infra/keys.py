"""Create, list and revoke API keys, for the operator of a stage.

    python -m infra.keys create --stage prod --tenant acme [--scopes read,write] [--expires 90d]
    python -m infra.keys list --stage prod [--tenant acme]
    python -m infra.keys revoke --stage prod <key id, or the key>

The stage `local` is the Resona that runs on this computer with its data in RESONA_HOME. All other
stages are reached with AWS's usual credentials and region. `create` prints the key, and nothing
else, on standard output. It cannot be shown again.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws import clients
from chalicelib.aws.api_key_store import ApiKeyStore
from chalicelib.domain.api_keys import KEY_ID, STAGE, TENANT, Scope, StoredApiKey, new_key, read_key
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.instant import format_instant, parse_instant
from chalicelib.handlers.authorizer import REMEMBERED_SECONDS
from chalicelib.runtime.clock import utc_now
from infra.deploy.cloud import Trouble, region_of
from infra.local.template import read_template

_DAYS = re.compile(r"([1-9][0-9]{0,3})d", re.ASCII)
_COLUMNS = ("KEY ID", "TENANT", "SCOPES", "CREATED", "EXPIRES", "STATUS")


class Mistake(Exception):
    """The command cannot be carried out; the message says why, and what to do."""


def main(arguments: Sequence[str]) -> int:
    """Run a command. Return the exit code: 0, or 1 with a sentence on standard error."""
    given = _parser().parse_args(arguments)
    try:
        given.run(open_store(given.stage), given, utc_now())
    except (Mistake, Trouble) as mistake:
        print(mistake, file=sys.stderr)
        return 1
    except (Unavailable, ClientError, BotoCoreError) as error:
        print(_explained(error, given.stage), file=sys.stderr)
        return 1
    return 0


def open_store(stage: str) -> ApiKeyStore:
    """Return the stage's table of keys.

    Raises Mistake if no Resona runs here for the stage local, Trouble without a region.
    """
    if stage == "local":
        from infra.local import access, run

        endpoint = access.noted_endpoint(run.home())
        if endpoint is None:
            raise Mistake(_no_laptop())
        run.use(endpoint)
    else:
        # boto3 reads AWS_DEFAULT_REGION alone; Lambda, the AWS CLI and `make deploy` both.
        os.environ["AWS_DEFAULT_REGION"] = region_of(os.environ, boto3.Session().region_name)
    return ApiKeyStore(clients.dynamodb(), read_template(stage).table("keys"))


def create(keys: ApiKeyStore, given: argparse.Namespace, now: datetime) -> None:
    """Create a key and print it. Raises Mistake, Unavailable, ClientError."""
    key, expires_at = new_key(given.stage), read_expiry(given.expires, now)
    record = StoredApiKey(key.id, key.digest, given.tenant, given.scopes, now, expires_at)
    keys.add(record)
    print(key.text)
    what = f"This is key {key.id} of {given.tenant}, for {_scopes(record)}; it is shown this once."
    print(what, file=sys.stderr)


def show(keys: ApiKeyStore, given: argparse.Namespace, now: datetime) -> None:
    """List all keys, or those of one tenant, oldest first. Raises Unavailable."""
    records = sorted(keys.all(), key=lambda record: (record.tenant, record.created_at))
    shown = (record for record in records if given.tenant in (None, record.tenant))
    rows = [_COLUMNS, *(_row(record, now) for record in shown)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def revoke(keys: ApiKeyStore, given: argparse.Namespace, now: datetime) -> None:
    """Revoke a key. Raises Unavailable, and Mistake if there is no such key.

    A key that is revoked already keeps the time of its revocation.
    """
    record = keys.revoke(given.key, now)
    if record is None or record.revoked_at is None:
        raise Mistake(f"there is no key {given.key} at the stage {given.stage}")
    print(
        f"Key {given.key} of {record.tenant} is revoked since {format_instant(record.revoked_at)}."
    )
    if given.stage != "local":
        print(f"API Gateway may remember it for {REMEMBERED_SECONDS} seconds more.")


def read_expiry(text: str, now: datetime) -> datetime | None:
    """Return when a key expires: `90d` is 90 days from now, `never` is None.

    A date and time with an offset is also accepted. Raises Mistake, also for a time in the past.
    """
    if text == "never":
        return None
    if match := _DAYS.fullmatch(text):
        return now + timedelta(days=int(match[1]))
    try:
        at = parse_instant(text)
    except ValueError as error:
        forms = "days (90d), an instant with its offset (2027-01-31T00:00:00Z), or never"
        raise Mistake(f"--expires: give {forms}") from error
    if at <= now:
        raise Mistake(f"--expires: {format_instant(at)} has passed")
    return at


def _row(record: StoredApiKey, now: datetime) -> tuple[str, ...]:
    created = format_instant(record.created_at)
    expires = format_instant(record.expires_at) if record.expires_at else "never"
    status = record.status(now).value
    return record.id, record.tenant, _scopes(record), created, expires, status


def _scopes(record: StoredApiKey) -> str:
    return ",".join(sorted(record.scopes))


def _no_laptop() -> str:
    from infra.local import run

    return (
        f"no Resona runs in {run.home()}: start one with AUTH=required make run, or set "
        "RESONA_HOME to the folder of the one that runs"
    )


def _explained(error: Exception, stage: str) -> str:
    cause = error.__cause__ if isinstance(error, Unavailable) else error
    if stage == "local" and isinstance(cause, BotoCoreError):
        return _no_laptop()
    if isinstance(cause, ClientError) and clients.code_of(cause) == "ResourceNotFoundException":
        return (
            f"there is no table of keys for the stage {stage} in this account and region: is it "
            "deployed, and is this its region?"
        )
    return f"the table of keys of the stage {stage} cannot be asked: {cause or error}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.keys", description="Make, list and revoke the keys of a stage."
    )
    actions = parser.add_subparsers(dest="action", required=True)

    def command(run: Callable[..., None], name: str, does: str) -> Callable[..., argparse.Action]:
        made = actions.add_parser(name, help=does)
        made.set_defaults(run=run)
        a_stage = _matching(
            STAGE, "a stage is 1 to 16 lower-case letters and digits, a letter first"
        )
        made.add_argument("--stage", required=True, type=a_stage, help="local, dev, prod, your own")
        return made.add_argument

    tenant = _matching(TENANT, "a tenant is 1 to 63 of a-z 0-9 . _ -, a letter or digit first")
    option = command(create, "create", "make a key and print it, this once")
    option("--tenant", required=True, type=tenant, help="whose jobs the key opens")
    option("--scopes", default="read,write", type=_read_scopes, help="read, write, or both: usual")
    option("--expires", default="never", help="90d, 2027-01-31T00:00:00Z, or never: usual")
    option = command(show, "list", "list keys, without their secrets")
    option("--tenant", type=tenant, help="only this tenant's keys")
    option = command(revoke, "revoke", "revoke a key")
    option("key", type=_key_id, help="its id, or all of it")
    return parser


def _matching(pattern: re.Pattern[str], why: str) -> Callable[[str], str]:
    """Return an argparse type that accepts texts of this pattern; `why` is the error for others."""

    def read(text: str) -> str:
        if not pattern.fullmatch(text):
            raise argparse.ArgumentTypeError(why)
        return text

    return read


def _read_scopes(text: str) -> frozenset[Scope]:
    try:
        return frozenset(map(Scope, text.split(",")))
    except ValueError as error:
        raise argparse.ArgumentTypeError("give read, write, or read,write") from error


def _key_id(text: str) -> str:
    key = read_key(text, text.split("_")[1]) if text.startswith("rsn_") else None
    # Do not show the text that was given: it may be a key with a typo.
    read = _matching(KEY_ID, "give a key's id, 12 letters and digits, or all of the key")
    return read(key.id if key else text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

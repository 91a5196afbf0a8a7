"""Create, list and revoke API keys, for the operator of a stage.

\b
    python -m infra.keys create --stage prod --tenant acme [--scopes read,write] [--expires 90d]
    python -m infra.keys list --stage prod [--tenant acme]
    python -m infra.keys revoke --stage prod <key id, or the key>

The stage `local` is the Resona that runs on this computer with its data in RESONA_HOME. All other
stages are reached with AWS's usual credentials and region. `create` prints the key, and nothing
else, on standard output. It cannot be shown again.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from chalicelib.aws import clients
from chalicelib.aws.api_key_store import ApiKeyStore
from chalicelib.domain.api_keys import KEY_ID, TENANT, Scope, StoredApiKey, new_key, read_key
from chalicelib.domain.instant import format_instant, parse_instant
from chalicelib.handlers.authorizer import REMEMBERED_SECONDS
from chalicelib.runtime.clock import utc_now
from infra.deploy.cloud import CliError, Names, in_words, reach
from infra.deploy.tenants import tell_of_tenants

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_DAYS = re.compile(r"([1-9][0-9]{0,3})d", re.ASCII)
_COLUMNS = ("KEY ID", "TENANT", "SCOPES", "CREATED", "EXPIRES", "STATUS")


def connect(stage: str) -> DynamoDBClient:
    """Return a client of the stage's tables.

    Raises CliError if no Resona runs here for the stage local, BotoCoreError, ClientError.
    """
    if stage != "local":
        client: DynamoDBClient = reach().client("dynamodb")
        return client
    from infra.local import access, run

    endpoint = access.noted_endpoint(run.home())
    if endpoint is None:
        raise CliError(
            f"no Resona runs in {run.home()}: start one with AUTH=required make run, or set "
            "RESONA_HOME to the folder of the one that runs"
        )
    run.use(endpoint)
    return clients.dynamodb()


def open_store(stage: str) -> ApiKeyStore:
    """Return the stage's table of keys. Raises what `connect` raises."""
    return ApiKeyStore(connect(stage), Names(stage).of("keys"))


def expiry(text: str, now: datetime | None = None) -> datetime | None:
    """Return when a key expires: `90d` is 90 days from now, `never` is None.

    A date and time with an offset is also accepted. Raises BadParameter, also for a past time.
    """
    now = now or utc_now()
    if text == "never":
        return None
    if match := _DAYS.fullmatch(text):
        return now + timedelta(days=int(match[1]))
    try:
        at = parse_instant(text)
    except ValueError as error:
        forms = "days (90d), an instant with its offset (2027-01-31T00:00:00Z), or never"
        raise click.BadParameter(f"give {forms}") from error
    if at <= now:
        raise click.BadParameter(f"{format_instant(at)} has passed")
    return at


def tenant_name(text: str) -> str:
    if not TENANT.fullmatch(text):
        raise click.BadParameter("a tenant is 1 to 63 of a-z 0-9 . _ -, a letter or digit first")
    return text


def _key_id(text: str) -> str:
    key = read_key(text, text.split("_")[1]) if text.startswith("rsn_") else None
    key_id = key.id if key else text
    if not KEY_ID.fullmatch(key_id):
        # Do not show the text that was given: it may be a key with a typo.
        raise click.BadParameter("give a key's id, 12 letters and digits, or all of the key")
    return key_id


_stage = click.option("--stage", required=True, help="local, dev, prod, or one of your own")


@click.group(help=__doc__)
def main() -> None:
    """Create, list and revoke keys."""


@main.command()
@_stage
@click.option("--tenant", required=True, type=tenant_name, help="whose jobs the key opens")
@click.option("--scopes", default="read,write", type=click.Choice(["read,write", "read", "write"]))
@click.option("--expires", default="never", type=expiry, help="90d, 2027-01-31T00:00:00Z")
@in_words()
def create(stage: str, tenant: str, scopes: str, expires: datetime | None) -> None:
    """Create a key and print it."""
    key = new_key(stage)
    allowed = frozenset(map(Scope, scopes.split(",")))
    record = StoredApiKey(key.id, key.digest, tenant, allowed, utc_now(), expires)
    client, names = connect(stage), Names(stage)
    tell_of_tenants(client, names, tenant)
    ApiKeyStore(client, names.of("keys")).add(record)
    click.echo(key.text)
    what = f"This is key {key.id} of {tenant}, for {_scopes(record)}; it is shown this once."
    click.echo(what, err=True)


@main.command("list")
@_stage
@click.option("--tenant", type=tenant_name, help="only this tenant's keys")
@in_words()
def show(stage: str, tenant: str | None) -> None:
    """List all keys, or those of one tenant, oldest first, without their secrets."""
    records = sorted(open_store(stage).all(), key=lambda record: (record.tenant, record.created_at))
    shown = (record for record in records if tenant in (None, record.tenant))
    rows = [_COLUMNS, *map(_row, shown)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


@main.command()
@_stage
@click.argument("key", type=_key_id)
@in_words()
def revoke(stage: str, key: str) -> None:
    """Revoke a key. One that is revoked already keeps the time of its revocation."""
    record = open_store(stage).revoke(key, utc_now())
    if record is None or record.revoked_at is None:
        raise CliError(f"there is no key {key} at the stage {stage}")
    since = format_instant(record.revoked_at)
    click.echo(f"Key {key} of {record.tenant} is revoked since {since}.")
    if stage != "local":
        click.echo(f"API Gateway may remember it for {REMEMBERED_SECONDS} seconds more.")


def _row(record: StoredApiKey) -> tuple[str, ...]:
    created = format_instant(record.created_at)
    expires = format_instant(record.expires_at) if record.expires_at else "never"
    status = record.status(utc_now()).value
    return record.id, record.tenant, _scopes(record), created, expires, status


def _scopes(record: StoredApiKey) -> str:
    return ",".join(sorted(record.scopes))


if __name__ == "__main__":
    main()

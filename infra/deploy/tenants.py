"""Tell a stage that it has several tenants: its executor then shares executors between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chalicelib.aws.api_key_store import ApiKeyStore
from chalicelib.aws.busy_store import BusyStore
from infra.deploy.cloud import Names

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def tell_of_tenants(client: DynamoDBClient, names: Names, *new: str) -> None:
    """Tell a stage if its keys, and `new` ones, are of several tenants. Raises ClientError."""
    keys = ApiKeyStore(client, names.of("keys"))
    if len({*new, *(key.tenant for key in keys.all())}) > 1:
        BusyStore(client, names.of("jobs"), names.of("secrets")).share()

"""The tables of the template, at moto."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.local.template import read_template

_MADE = "TableName AttributeDefinitions KeySchema BillingMode GlobalSecondaryIndexes".split()


def make_table(dynamodb: Any, table: Mapping[str, Any]) -> None:
    """Make a table with what moto knows of its properties."""
    dynamodb.create_table(**{name: table[name] for name in _MADE if name in table})


def make_tables(dynamodb: Any, stage: str) -> None:
    for table in read_template(stage).tables:
        make_table(dynamodb, table)

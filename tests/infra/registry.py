"""CloudFormation's resource types, as cfn-lint describes them."""

from __future__ import annotations

from typing import Any


def schema(kind: str) -> Any:
    """Return the schema of a type."""
    # To import it takes half of the time in which a process finds all of these tests.
    from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

    return PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema

"""Add the right to publish to the topics in RESONA_NOTICE_TOPICS to a policy that is deployed.

A policy file in .chalice cannot read a setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any


def with_topics(
    policy: Mapping[str, Any], filename: str, topics: AbstractSet[str]
) -> dict[str, Any]:
    """Return the policy of a file, with the right to publish if it is deliver's."""
    if not topics or Path(filename).name != "deliver.json":
        return dict(policy)
    publish = {
        "Sid": "Notices",
        "Effect": "Allow",
        "Action": ["sns:Publish"],
        "Resource": sorted(topics),
    }
    return {**policy, "Statement": [*policy["Statement"], publish]}

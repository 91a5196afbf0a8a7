"""KMS on a laptop: moto's, with a key that is kept, so secrets stay readable after a restart."""

from __future__ import annotations

import base64
from typing import Any

from moto.kms.models import KmsBackend, kms_backends

from infra.local.journal import Journal
from infra.local.wire import ACCOUNT, REGION

_KIND = "kms key"


def make_key(alias: str, journal: Journal) -> None:
    """Create the key of an alias, from the journal or, if it is new, kept there from now on."""
    backend: KmsBackend = kms_backends[ACCOUNT][REGION]
    key: Any = backend.create_key(
        policy=None,
        key_usage="ENCRYPT_DECRYPT",
        key_spec="SYMMETRIC_DEFAULT",
        description="",
        tags=[],
    )
    known = dict(journal.read(_KIND)).get(alias)
    if known is None:
        journal.write(
            [
                (
                    _KIND,
                    alias,
                    {"id": key.id, "material": base64.b64encode(key.key_material).decode("ascii")},
                )
            ]
        )
    else:
        backend.keys[known["id"]] = backend.keys.pop(key.id)
        key.id, key.key_material = known["id"], base64.b64decode(known["material"])
    backend.create_alias(target_key_id=key.id, alias_name=alias)

"""Fast boto3 sessions: botocore's models are loaded once, which takes longer than most tests."""

from __future__ import annotations

from functools import cache
from typing import Any

import boto3
import botocore.session


@cache
def _models() -> Any:
    return botocore.session.get_session().get_component("data_loader")


def new_core() -> botocore.session.Session:
    """Return a session of botocore's that has its own credentials, region and events."""
    made = botocore.session.get_session()
    made.register_component("data_loader", _models())
    return made


def new_session(**settings: Any) -> boto3.Session:
    """Return a session of boto3's on one of these."""
    return boto3.Session(botocore_session=new_core(), **settings)


@cache
def shared_client(service: str, region: str) -> Any:
    """Return the one client of a service, for tests that do not look at its calls."""
    make: Any = new_session(region_name=region).client
    return make(service)

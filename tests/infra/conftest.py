"""Fixtures that the tests of a deploy share."""

from tests.infra.account import account, moto_server

__all__ = ["account", "moto_server"]

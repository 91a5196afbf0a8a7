"""`/smoke` is on while the suite runs, and off after it, however it ends."""

from __future__ import annotations

from typing import Any

import pytest

from infra.deploy.cloud import Cloud
from tests.acceptance.switching import smoke_of
from tests.cloud import client_error

KEPT = {"RESONA_STAGE": "dev"}


class Lambda:
    """The environment of one function, which may be changed or not."""

    def __init__(self, *, is_allowed: bool = True) -> None:
        self.variables = dict(KEPT)
        self._is_allowed = is_allowed
        self.told: list[str] = []
        self.cloud = Cloud(
            lambda service: self, "123456789012", "eu-central-1", say=self.told.append
        )

    # Boto3's names
    def get_function_configuration(self, FunctionName: str) -> dict[str, Any]:  # noqa: N803
        assert FunctionName == "resona-dev"
        return {"LastUpdateStatus": "Successful", "Environment": {"Variables": self.variables}}

    def update_function_configuration(
        self,
        FunctionName: str,  # noqa: N803
        Environment: dict[str, dict[str, str]],  # noqa: N803
    ) -> None:
        assert FunctionName == "resona-dev"
        if not self._is_allowed:
            raise client_error("AccessDeniedException", "UpdateFunctionConfiguration", 403)
        self.variables = Environment["Variables"]


def test_the_token_is_the_stage_s_and_is_taken_back_also_when_interrupted() -> None:
    function, environ = Lambda(), dict[str, str]()
    with pytest.raises(KeyboardInterrupt), smoke_of(function.cloud, "dev", environ):
        assert function.variables == {**KEPT, **environ}
        assert len(environ["RESONA_SMOKE"]) >= 32
        raise KeyboardInterrupt
    assert (function.variables, environ) == (KEPT, {})


def test_who_may_not_switch_it_on_is_told_and_goes_on_without() -> None:
    function, environ = Lambda(is_allowed=False), dict[str, str]()
    with smoke_of(function.cloud, "dev", environ):
        assert environ == {}
    assert "could not be switched on, so nothing shows what jobs send" in function.told[-1]


@pytest.mark.parametrize("name", ["RESONA_SMOKE", "RESONA_RECEIVER"])
def test_what_was_given_is_left_as_it_is(name: str) -> None:
    function, environ = Lambda(), {name: "given"}
    for cloud in (function.cloud, None):
        with smoke_of(cloud, "dev", environ):
            assert (function.variables, environ) == (KEPT, {name: "given"})
    assert environ == {name: "given"}

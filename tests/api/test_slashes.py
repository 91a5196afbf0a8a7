"""A slash at the end of a path changes nothing, whatever the route."""

from __future__ import annotations

import re

import pytest

from chalicelib.api.routing import operations
from tests.api.conftest import Api


@pytest.mark.parametrize(("method", "path"), sorted(key for key in operations if key[1] != "/"))
def test_a_slash_at_the_end_of_a_path_changes_nothing(api: Api, method: str, path: str) -> None:
    """Of what does not exist, and of lists: the answer is that of the path without it."""
    called = re.sub(r"\{[a-z_]+\}", "x", path)
    plain, slashed = (api.call(method, called + end) for end in ("", "/"))
    if called == "/docs":
        # Its addresses are relative.
        assert (slashed.status, slashed.headers["Location"][-5:]) == (303, "/docs")
        return
    assert slashed.status == plain.status
    # Each call makes another secret.
    assert slashed.text == plain.text or called == "/signing-secret/rotate"


@pytest.mark.parametrize("path", ["/jobs//", "/flows/x//", "//jobs", "/complete/x/y/"])
def test_more_slashes_are_another_path(api: Api, path: str) -> None:
    try:
        assert api.get(path).status == 404
    except ValueError as error:
        # No route has it: the gateway answers.
        assert "No matching route" in str(error)

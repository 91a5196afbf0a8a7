"""What API Gateway answers itself, which a deploy imports together with the API."""

from __future__ import annotations

import json
from typing import Any

import botocore.session
import pytest

from chalicelib.api.openapi.gateway_responses import gateway_responses
from chalicelib.api.problems import NO_ROUTE, problem
from tests.api.described import validator

APP, ADMIN = "https://app.example.com", "https://admin.example.com"
_KIND: Any = (
    botocore.session.get_session().get_service_model("apigateway").shape_for("GatewayResponseType")
)
KINDS: list[str] = _KIND.enum
# What each says by itself: the status is to be another only where a reason stands in
# `gateway_responses`.
USUAL = {
    "UNAUTHORIZED": 401,
    "ACCESS_DENIED": 403,
    "REQUEST_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "THROTTLED": 429,
    "QUOTA_EXCEEDED": 429,
}


def test_every_answer_that_api_gateway_gives_is_written() -> None:
    assert gateway_responses(frozenset()).keys() == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_what_api_gateway_answers_itself_is_a_problem_of_the_api_s(kind: str) -> None:
    response = gateway_responses(frozenset())[kind]
    (body,) = response["responseTemplates"].values()
    document = json.loads(body)
    validator(json.dumps({"$ref": "#/components/schemas/Problem"})).validate(document)
    assert response["statusCode"] == str(document["status"])
    assert (
        response["responseParameters"]["gatewayresponse.header.Content-Type"]
        == "'application/problem+json'"
    )
    assert document["status"] == USUAL.get(kind, document["status"])
    # Its own way of putting values into texts.
    assert "$" not in body


def test_a_401_a_429_and_a_503_say_what_the_api_s_own_do() -> None:
    wanted = {
        kind: one["responseParameters"] for kind, one in gateway_responses(frozenset()).items()
    }
    assert wanted["UNAUTHORIZED"]["gatewayresponse.header.WWW-Authenticate"] == "'Bearer'"
    for kind in ("THROTTLED", "AUTHORIZER_FAILURE", "INTEGRATION_TIMEOUT", "DEFAULT_5XX"):
        assert wanted[kind]["gatewayresponse.header.Retry-After"] == "'1'"


@pytest.mark.parametrize(
    "kind", ["INTEGRATION_TIMEOUT", "INTEGRATION_FAILURE", "API_CONFIGURATION_ERROR", "DEFAULT_5XX"]
)
def test_when_the_function_may_have_done_it_the_answer_says_that_nobody_knows(kind: str) -> None:
    document = json.loads(
        gateway_responses(frozenset())[kind]["responseTemplates"]["application/json"]
    )
    assert (document["status"], document["unknown"]) == (503, True)


@pytest.mark.parametrize("kind", ["AUTHORIZER_FAILURE", "AUTHORIZER_CONFIGURATION_ERROR"])
def test_when_the_authorizer_failed_nothing_was_done(kind: str) -> None:
    document = json.loads(
        gateway_responses(frozenset())[kind]["responseTemplates"]["application/json"]
    )
    assert document["status"] == 503
    assert "unknown" not in document


@pytest.mark.parametrize(
    "kind", ["MISSING_AUTHENTICATION_TOKEN", "INVALID_SIGNATURE", "RESOURCE_NOT_FOUND"]
)
def test_a_path_that_is_not_there_is_a_404_in_the_very_bytes_of_the_laptop(kind: str) -> None:
    response = gateway_responses(frozenset())[kind]
    assert response["responseTemplates"]["application/json"] == problem(404, NO_ROUTE).body


def test_answers_are_readable_for_configured_pages() -> None:
    def headers(*origins: str) -> dict[str, str]:
        parameters: dict[str, str] = gateway_responses(frozenset(origins))["UNAUTHORIZED"][
            "responseParameters"
        ]
        return {
            name.removeprefix("gatewayresponse.header."): value
            for name, value in parameters.items()
        }

    assert not {"Vary", "Access-Control-Allow-Origin"} & headers().keys()
    one = headers(APP)
    assert (one["Access-Control-Allow-Origin"], one["Vary"]) == (f"'{APP}'", "'Origin'")
    assert "WWW-Authenticate" in one["Access-Control-Expose-Headers"]
    assert headers(APP, ADMIN)["Access-Control-Allow-Origin"] == "method.request.header.Origin"

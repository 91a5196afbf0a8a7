"""Read from request bodies what jobs send: their requests, and the URLs of their callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from chalicelib.api.models.validation import Errors, Strict
from chalicelib.domain.errors import FieldError, InvalidInput
from chalicelib.domain.job import Callbacks
from chalicelib.domain.request import METHODS, Request, RequestCheck, normalised
from chalicelib.domain.secrets import wrong_placeholders


def _any_case(word: str) -> str:
    return "".join(f"[{letter}{letter.lower()}]" for letter in word)


_HAS_NO_BODY: JsonDict = {
    "properties": {"method": {"pattern": f"^({_any_case('GET')}|{_any_case('HEAD')})$"}},
    "required": ["method"],
}
URL: JsonDict = {
    "format": "http-url",
    "maxLength": 2048,
    "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[!-~]+$",
}
_HEADERS: JsonDict = {
    "maxProperties": 50,
    "propertyNames": {"pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$"},
    "additionalProperties": {
        "type": "string",
        "maxLength": 4096,
        "pattern": "^([!-~]([ -~]*[!-~])?)?$",
    },
}


class RequestIn(Strict):
    """The request to send when the job is due."""

    # `domain.request` checks the rules of requests; this schema repeats those that JSON Schema can
    # express.
    model_config = ConfigDict(
        json_schema_extra={"if": _HAS_NO_BODY, "then": {"properties": {"body": {"type": "null"}}}}
    )

    url: str = Field(
        description="The target: http or https. In its path and query `{{secret:name}}` stands "
        "for a secret, and `{{run.id}}` and others for values of the run, as in headers and body.",
        json_schema_extra=URL,
    )
    method: str = Field(
        "POST",
        description=f"{', '.join(METHODS[:-1])} or {METHODS[-1]}, in any case.",
        json_schema_extra={"pattern": f"^({'|'.join(map(_any_case, METHODS))})$"},
    )
    headers: dict[str, str] = Field(
        default_factory=dict,
        description="Values by name; `{{secret:name}}` stands for a secret.",
        json_schema_extra=_HEADERS,
    )
    # Not pydantic's JsonValue, which refuses an `exact_json.Number`.
    body: Any = Field(
        None,
        description="Any JSON value. A string is sent as it is, other values as JSON, null sends "
        "no body. At most 64 KiB.",
    )


class CallbackIn(Strict):
    """Where a run is posted to when it has ended."""

    url: str = Field(
        description="http or https; its path and query may name secrets.", json_schema_extra=URL
    )


class CallbacksIn(Strict):
    """The URLs to which runs of the job are posted when they end so."""

    succeeded: CallbackIn | None = Field(None, description="For runs that succeeded.")
    failed: CallbackIn | None = Field(None, description="For runs that failed.")


def callbacks_of(sent: CallbacksIn) -> Callbacks:
    return Callbacks(
        sent.succeeded.url if sent.succeeded else None, sent.failed.url if sent.failed else None
    )


def check_callbacks(errors: Errors, sent: CallbacksIn | None, check_request: RequestCheck) -> None:
    for field, request in callbacks_of(sent or CallbacksIn()).requests():
        errors.extend(
            replace(wrong, field=f"{field}.url") for wrong in wrong_request(request, check_request)
        )


def read_request(
    errors: Errors, document: Mapping[str, Any], check_request: RequestCheck
) -> Request | None:
    """Return the request, checked by the rules of `domain.request`.

    The model of the whole body has been validated already. If it found wrong fields in the request,
    check the others here, so that one answer names every error.
    """
    given = document.get("request")
    if not isinstance(given, dict):
        return None
    # The model is strict and converts nothing: take valid fields as they were sent.
    valid = {
        name: given[name]
        for name in RequestIn.model_fields.keys() & given.keys()
        if ("request", name) not in errors.invalid
    }
    sent = RequestIn.model_construct(**{"url": "", **valid})
    request = Request(sent.url, normalised(sent.method), sent.headers, sent.body)
    errors.extend(
        wrong
        for wrong in wrong_request(request, check_request)
        if ("request", wrong.field.split(".")[1]) not in errors.invalid
    )
    return request


def wrong_request(request: Request, check_request: RequestCheck) -> list[FieldError]:
    """Return the errors in a request. Raises BodyTooLarge."""
    found = list(wrong_placeholders(request))
    try:
        check_request(request)
    except InvalidInput as error:
        found = [*error.errors, *found]
    return found

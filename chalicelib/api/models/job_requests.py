"""Read jobs from request bodies: the request models, and the rules beyond them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic.config import JsonDict

from chalicelib.api.models.completion_models import CompletionKind, Deadline, read_completion
from chalicelib.api.models.policy_requests import (
    RetryIn,
    Seconds,
    SuccessIn,
    retry_policy,
    success_rule,
)
from chalicelib.api.models.response_models import job_view
from chalicelib.api.models.trigger_requests import is_delay, is_same_trigger, read_trigger
from chalicelib.api.models.validation import Errors, Strict, require_object, whole
from chalicelib.domain.errors import FieldError, InvalidInput
from chalicelib.domain.flows import FLOW_NAME, NAME_RULE
from chalicelib.domain.ids import JOB_KEY
from chalicelib.domain.job import Callbacks, Definition, Overlap
from chalicelib.domain.request import METHODS, Request, RequestCheck, normalised
from chalicelib.domain.secrets import wrong_placeholders
from chalicelib.domain.success import SuccessRule
from chalicelib.domain.trigger import Trigger
from chalicelib.usecases.scheduling import Edit, Job

Label = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63),
    Field(json_schema_extra={"pattern": "^[^:]*$"}),
]
FlowName = Annotated[
    str,
    StringConstraints(max_length=258),
    Field(json_schema_extra={"pattern": f"^({FLOW_NAME.pattern})$"}),
]
LabelValue = Annotated[str, StringConstraints(max_length=255)]


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


class _Policies(Strict):
    timeout: Seconds = Field(
        30, ge=1, le=600, description="Seconds for one attempt, the whole HTTP exchange."
    )
    retry: RetryIn = Field(default_factory=RetryIn)
    success: SuccessIn | None = Field(
        None, description="What counts as success; null is any status of 200 to 299."
    )
    completion: CompletionKind | None = Field(
        None,
        description="callback: the target answers 2xx, and calls `Resona-Complete-Url` when its "
        "work has ended. By default, response: the answer ends the attempt.",
    )
    deadline: Deadline | None = Field(
        None, description="Of a callback: seconds from the start of the attempt."
    )
    overlap: Literal["allow", "skip"] = Field(
        "allow", description="What to do when it comes due while its previous run is unfinished."
    )
    misfire_grace: Annotated[int, Field(ge=1, le=86_400), BeforeValidator(whole)] | None = Field(
        None,
        description="Seconds a run may be late and still be sent. null: one-time jobs are always "
        "sent, others until the next occurrence is due.",
    )
    labels: dict[Label, LabelValue] = Field(
        default_factory=dict, max_length=20, description="Labels by name, for filtering."
    )
    key: Annotated[str, StringConstraints(pattern=rf"\A{JOB_KEY.pattern}\z")] | None = Field(
        None, description="Your own name for the job; it cannot be changed."
    )
    callbacks: CallbacksIn | None = Field(
        None, description="The URLs to which runs of the job are posted when they end so."
    )
    pause_after: Annotated[int, Field(ge=1, le=100), BeforeValidator(whole)] | None = Field(
        None, description="Pause the job after this many failed scheduled runs in a row."
    )
    flow: FlowName | None = Field(
        None, description="The flow whose limits hold for the job; null is that of its host."
    )


class JobIn(_Policies):
    """A job to register."""

    name: str = Field(min_length=1, max_length=200, description="A name to show.")
    request: RequestIn
    trigger: Any


class JobUpdateIn(_Policies):
    """An update: each field present replaces the old one whole."""

    name: str = Field("", min_length=1, max_length=200, description="A name to show.")
    request: RequestIn = Field(default_factory=lambda: RequestIn(url=""))
    trigger: Any = None


def read_job(
    tenant: str,
    body: object,
    now: datetime,
    check_request: RequestCheck,
    api_url: str,
    *,
    key: str | None = None,
) -> Definition:
    """Read a job to register, as a definition without an id.

    `api_url` is the URL of the API that was called. `key` is the key in the path, None if there is
    none; the body may repeat it. Raises InvalidInput, BodyTooLarge.
    """
    errors = Errors()
    document = require_object(body)
    errors.forbid_read_only(document, {})
    if key is not None:
        if document.get("key", key) != key:
            errors.add("key", "must be the key in the path, or left out")
        document = {**document, "key": key}
    sent = errors.validate(JobIn, document)
    trigger = (
        errors.collect(lambda: read_trigger(document["trigger"], now))
        if "trigger" in document
        else None
    )
    request = _read_request(errors, document, check_request)
    _check_labels(errors, sent, {})
    _check_callbacks(errors, sent, check_request)
    policies = _policies(errors, sent) if sent else {}
    _check_answerable(errors, request, policies.get("success"))
    completion = read_completion(errors, sent, document, None, api_url) if sent else None
    errors.raise_if_any()
    assert sent and trigger and request  # noqa: S101  raise_if_any() has not raised
    return Definition(
        id="",
        tenant=tenant,
        generation=1,
        created_at=now,
        trigger=trigger,
        request=request,
        key=sent.key,
        completion=completion,
        **policies,
    )


def _policies(errors: Errors, sent: JobIn | JobUpdateIn) -> dict[str, Any]:
    """Return the fields of a definition that each come from one field of the body.

    Collects what is wrong with them.
    """
    grace = sent.misfire_grace
    return {
        "name": sent.name,
        "timeout": timedelta(seconds=sent.timeout),
        "retry": retry_policy(errors, sent.retry),
        "success": success_rule(errors, sent.success),
        "overlap": Overlap(sent.overlap),
        "misfire_grace": None if grace is None else timedelta(seconds=grace),
        "labels": sent.labels,
        "callbacks": _callbacks(sent.callbacks or CallbacksIn()),
        "pause_after": sent.pause_after,
        "flow": _flow(errors, sent.flow),
    }


def _flow(errors: Errors, name: str | None) -> str | None:
    if name is not None and not FLOW_NAME.fullmatch(name):
        errors.add("flow", NAME_RULE)
    return name


def _callbacks(sent: CallbacksIn) -> Callbacks:
    return Callbacks(
        sent.succeeded.url if sent.succeeded else None, sent.failed.url if sent.failed else None
    )


def _check_labels(errors: Errors, sent: JobIn | JobUpdateIn | None, old: Mapping[str, str]) -> None:
    """Add an error for each label key with a colon: a filter `label=key:value` could not name it.

    `old` are the job's present labels, which it may keep: it may be older than this rule.
    """
    for name in sent.labels if sent else ():
        if ":" in name and name not in old:
            errors.add(
                f"labels.{name}",
                "a label's key must have no colon: in label=key:value the first colon divides",
            )


def _check_callbacks(
    errors: Errors, sent: JobIn | JobUpdateIn | None, check_request: RequestCheck
) -> None:
    for field, request in _callbacks((sent and sent.callbacks) or CallbacksIn()).requests():
        errors.extend(
            replace(wrong, field=f"{field}.url") for wrong in wrong_request(request, check_request)
        )


def _check_answerable(errors: Errors, request: Request | None, rule: SuccessRule | None) -> None:
    """Add an error for a rule that no answer to the request can meet."""
    if request and request.method == "HEAD" and rule and (rule.contains is not None or rule.json):
        errors.add("success", "an answer to HEAD has no body: give status alone, or send GET")


def read_edit(
    body: object,
    job: Job,
    now: datetime,
    check_request: RequestCheck,
    api_url: str,
    *,
    replaces: bool,
) -> Edit:
    """Read an update of `job`: absent fields stay, or get their defaults if it `replaces` the job.

    Clients may send back the job object that they read: a read-only field may have its current
    value, and the job's present trigger does not count as a new one, even if its date has passed.
    Raises InvalidInput, BodyTooLarge.
    """
    errors = Errors()
    document = require_object(body)
    errors.forbid_read_only(document, job_view(job, with_recent=True))
    model: type[JobIn | JobUpdateIn] = JobIn if replaces else JobUpdateIn
    sent = errors.validate(model, document)
    given = JobIn.model_fields.keys() if replaces else document.keys()
    old = job.definition
    trigger: Trigger | None = old.trigger
    if "trigger" in document and not is_same_trigger(document["trigger"], old.trigger):
        trigger = errors.collect(lambda: read_trigger(document["trigger"], now))
    request = _read_request(errors, document, check_request) if "request" in given else old.request
    if sent and "key" in document and sent.key != old.key:
        errors.add("key", "it cannot be changed")
    _check_labels(errors, sent, old.labels)
    _check_callbacks(errors, sent, check_request)
    policies = _policies(errors, sent) if sent else {}
    completion = read_completion(errors, sent, given, old.completion, api_url) if sent else None
    changed = {name: value for name, value in policies.items() if name in given}
    if {"request", "success"} & set(given):
        _check_answerable(errors, request, changed.get("success", old.success))
    errors.raise_if_any()
    assert sent and trigger and request  # noqa: S101  raise_if_any() has not raised
    new = replace(old, trigger=trigger, request=request, completion=completion, **changed)
    return Edit(new, anew=is_delay(document.get("trigger")))


def _read_request(
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

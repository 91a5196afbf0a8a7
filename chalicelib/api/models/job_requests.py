"""Read jobs from request bodies: the request models, and the rules beyond them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, cast

from pydantic import (
    BeforeValidator,
    Field,
    StringConstraints,
)
from pydantic.config import JsonDict

from chalicelib.api.models.completion_models import CompletionKind, Deadline, read_completion
from chalicelib.api.models.http_requests import (
    CallbacksIn,
    RequestIn,
    callbacks_of,
    check_callbacks,
    read_request,
)
from chalicelib.api.models.policy_requests import (
    RetryIn,
    Seconds,
    SuccessIn,
    check_meaning,
    retry_policy,
    success_rule,
)
from chalicelib.api.models.response_models import job_view
from chalicelib.api.models.texts import NO_CONTROL, TEXT, check_labels, check_text
from chalicelib.api.models.trigger_requests import is_delay, is_same_trigger, read_trigger
from chalicelib.api.models.validation import Errors, Strict, require_object, whole
from chalicelib.domain.completion import Completion
from chalicelib.domain.flows import FLOW_NAME, NAME_RULE, is_name
from chalicelib.domain.ids import JOB_KEY
from chalicelib.domain.job import Definition, Overlap
from chalicelib.domain.request import Request, RequestCheck
from chalicelib.domain.success import SuccessRule
from chalicelib.domain.trigger import Trigger
from chalicelib.usecases.scheduling import Edit, Job

# What `check_meaning` compares.
_MEANING = {"retry", "success", "completion", "deadline"}


def _refuse_other_keys(schema: JsonDict) -> None:
    """Describe that keys outside their pattern are refused.

    pydantic writes the pattern as `patternProperties`, which leaves other keys free, and which
    generators of clients do not know.
    """
    patterns = cast("dict[str, JsonDict]", schema.pop("patternProperties"))
    ((pattern, values),) = patterns.items()
    names = cast("JsonDict", schema["propertyNames"])
    schema |= {"propertyNames": {**names, "pattern": pattern}, "additionalProperties": values}


Label = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63),
    Field(json_schema_extra={"pattern": TEXT.replace("[^", "[^:")}),
]
FlowName = Annotated[
    str,
    StringConstraints(max_length=258),
    Field(json_schema_extra={"pattern": f"^({FLOW_NAME.pattern})$"}),
]
LabelValue = Annotated[
    str, StringConstraints(max_length=255), Field(json_schema_extra={"pattern": NO_CONTROL})
]
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200),
    Field(description="A name to show, in one line.", json_schema_extra={"pattern": TEXT}),
]


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
        default_factory=dict,
        max_length=20,
        description="Labels by name, for filtering.",
        json_schema_extra=_refuse_other_keys,
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

    name: Name
    request: RequestIn
    trigger: Any


class JobUpdateIn(_Policies):
    """An update: each field present replaces the old one whole."""

    name: Name = ""
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
    request = read_request(errors, document, check_request)
    valid = sent or _valid_part(errors, document)
    check_text(errors, "name", valid.name)
    check_labels(errors, valid.labels, {})
    check_callbacks(errors, valid.callbacks, check_request)
    policies = _policies(errors, valid)
    _check_answerable(errors, request, policies["success"])
    completion = _read_completion(errors, valid, document, None, api_url)
    if not errors.are_in(*_MEANING):
        check_meaning(errors, policies["retry"], policies["success"], completion)
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


def _valid_part(errors: Errors, document: Mapping[str, Any]) -> JobUpdateIn:
    """Return the fields in which the model has found no error: the rules beyond it check them."""
    return JobUpdateIn.model_validate(
        {
            name: value
            for name, value in document.items()
            if name in JobUpdateIn.model_fields and not errors.are_in(name)
        }
    )


def _read_completion(
    errors: Errors,
    valid: JobIn | JobUpdateIn,
    given: Collection[str],
    old: Completion | None,
    api_url: str,
) -> Completion | None:
    if errors.are_in("completion", "deadline"):
        return old
    return read_completion(errors, valid, given, old, api_url)


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
        "callbacks": callbacks_of(sent.callbacks or CallbacksIn()),
        "pause_after": sent.pause_after,
        "flow": _flow(errors, sent.flow),
    }


def _flow(errors: Errors, name: str | None) -> str | None:
    if name is not None and not is_name(name):
        errors.add("flow", NAME_RULE)
    return name


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
    request = read_request(errors, document, check_request) if "request" in given else old.request
    valid = sent or _valid_part(errors, document)
    if "key" in document and not errors.are_in("key") and valid.key != old.key:
        errors.add("key", "it cannot be changed")
    if "name" in given:
        check_text(errors, "name", valid.name, old.name)
    check_labels(errors, valid.labels, old.labels)
    check_callbacks(errors, valid.callbacks, check_request)
    policies = _policies(errors, valid)
    completion = _read_completion(errors, valid, given, old.completion, api_url)
    changed = {name: value for name, value in policies.items() if name in given}
    retry, success = changed.get("retry", old.retry), changed.get("success", old.success)
    if {"request", "success"} & set(given):
        _check_answerable(errors, request, success)
    if _MEANING & set(given) and not errors.are_in(*_MEANING):
        check_meaning(errors, retry, success, completion)
    errors.raise_if_any()
    assert sent and trigger and request  # noqa: S101  raise_if_any() has not raised
    new = replace(old, trigger=trigger, request=request, completion=completion, **changed)
    return Edit(new, anew=is_delay(document.get("trigger")))

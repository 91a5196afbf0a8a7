"""Routes of the signing secret, and of secrets: the values of `{{secret:NAME}}`, never shown."""

from __future__ import annotations

import logging
from datetime import datetime

from chalice.app import Blueprint, Response

from chalicelib.api.models import answer_models
from chalicelib.api.models.validation import require_object, unknown_fields
from chalicelib.api.paging import NotACursor, cursor, limit_of, link_to, page_size, read_cursor
from chalicelib.api.routes.job_list import MOST_READ
from chalicelib.api.routing import Call, answer, route
from chalicelib.domain.api_keys import Scope
from chalicelib.domain.errors import FieldError, InvalidInput, SecretNotFound
from chalicelib.domain.instant import format_instant
from chalicelib.domain.secrets import LARGEST_SECRET, SECRET_NAME, SigningSecrets

log = logging.getLogger("resona")
routes = Blueprint(__name__)


@route(
    routes,
    "/secrets",
    "GET",
    answers={200: "Secrets"},
    query={"limit": page_size, "cursor": cursor},
)
def list_secrets(call: Call) -> Response:
    """List the names of secrets, and when each was created and last changed.

    Without a limit, a page has up to 1,000. A Link leads to the next page.
    """
    after = read_cursor(call)
    if after is not None and not SECRET_NAME.fullmatch(after):
        raise NotACursor
    limit = limit_of(call, default=MOST_READ)
    # Read one more than is shown: it tells whether there is a next page.
    found = call.scheduling.secrets.names(call.tenant, after or "", limit + 1)
    shown = [
        answer_models.Secret(
            name=secret.name,
            created_at=format_instant(secret.created_at),
            updated_at=format_instant(secret.updated_at),
        )
        for secret in found[:limit]
    ]
    following = found[limit - 1].name if len(found) > limit else None
    return answer(200, shown, link_to(call, following))


@route(routes, "/secrets/{name}", "PUT", body="SecretIn", answers={204: None}, refuses=(429,))
def put_secret(call: Call, name: str) -> Response:
    """Create or replace a secret. Jobs send the new value from their next attempt on."""
    value = _read(name, call.document())
    call.scheduling.secrets.put(call.tenant, name, value, call.scheduling.clock())
    log.info("secret.put")
    return answer(204, None)


def _read(name: str, body: object) -> str:
    """Return the value in a body, and check the name in the path.

    Raises InvalidInput, which never shows the value.
    """
    document = require_object(body)
    errors = unknown_fields(document, ("value",))
    if not SECRET_NAME.fullmatch(name):
        errors.append(FieldError("name", "must be 1 to 64 of A-Z a-z 0-9 _ -"))
    value = document.get("value")
    if not isinstance(value, str) or not 1 <= len(value.encode()) <= LARGEST_SECRET:
        errors.append(FieldError("value", f"must be a string of 1 to {LARGEST_SECRET} bytes"))
    if errors:
        raise InvalidInput(errors)
    return str(value)


@route(routes, "/secrets/{name}", "DELETE", answers={204: None})
def delete_secret(call: Call, name: str) -> Response:
    """Delete a secret. A job that still names it fails, with an error that says so."""
    if not SECRET_NAME.fullmatch(name):
        raise SecretNotFound
    call.scheduling.secrets.delete(call.tenant, name)
    log.info("secret.deleted")
    return answer(204, None)


# It needs `write`: the holder of the secret can sign as Resona.
@route(
    routes,
    "/signing-secret",
    "GET",
    answers={200: "SigningSecrets"},
    gives=("Cache-Control",),
    scope=Scope.WRITE,
)
def get_signing_secret(call: Call) -> Response:
    """Return the secrets that requests are signed with."""
    now = call.scheduling.clock()
    # HEAD changes nothing, and its answer is as long as that of GET.
    creates = call.request.method == "GET"
    return _shown(call.scheduling.secrets.signing(call.tenant, now, creates=creates), now)


@route(
    routes,
    "/signing-secret/rotate",
    "POST",
    answers={200: "SigningSecrets"},
    gives=("Cache-Control",),
    refuses=(409,),
)
def rotate_signing_secret(call: Call) -> Response:
    """Make a new signing secret; for 24 hours requests are signed with the old one too.

    The fifth rotation within 24 hours is refused: a receiver would lose a secret that it may still
    verify with.
    """
    signing = call.scheduling.secrets.rotate(call.tenant, call.scheduling.clock())
    log.info("signing_secret.rotated")
    return _shown(signing, call.scheduling.clock())


def _shown(signing: SigningSecrets, now: datetime) -> Response:
    previous, until = next(
        ((secret, until) for secret, until in signing.previous if until > now), (None, None)
    )
    shown = answer_models.SigningSecrets(
        secret=signing.current,
        previous=previous,
        previous_expires_at=format_instant(until) if until else None,
    )
    return answer(200, shown, {"Cache-Control": "no-store"})

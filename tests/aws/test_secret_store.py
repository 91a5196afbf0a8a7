"""The table of secrets: its items, who can decrypt them, concurrent writes and lost answers."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from chalicelib.aws.secret_store import SecretStore
from chalicelib.domain.errors import InvalidInput, SecretNotFound, Unavailable
from chalicelib.domain.request import Request
from chalicelib.domain.secrets import OVERLAP, SecretDates
from tests.cloud import KMS, Cloud, DynamoDB, client_error
from tests.parts import secret_store

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


class Vault:
    """A store on a cloud in memory. `before` and `after` are asked at every call of it."""

    def __init__(self) -> None:
        self.cloud = Cloud(lambda: NOW)
        self.store = self.another()

    def another(self) -> SecretStore:
        """Return a store of another process."""
        return secret_store(self.cloud, lambda seconds: None)

    def fails(
        self,
        operation: str,
        when: str,
        times: int = 1,
        code: str = "InternalServerError",
        http: int = 500,
    ) -> None:
        """Have an operation fail before or after its effect, so many times."""
        left = [times]

        def fail(called: str, request: dict[str, Any]) -> None:
            if called == operation and left[0]:
                left[0] -= 1
                raise client_error(code, called, http)

        setattr(self.cloud, when, fail)


@pytest.fixture
def vault() -> Vault:
    return Vault()


def values(store: SecretStore, *names: str, tenant: str = "tenant") -> dict[str, str]:
    return store.unsealed(tenant, names, NOW)[1]


def test_a_value_is_kept_encrypted_and_read_by_its_name(vault: Vault) -> None:
    vault.store.put("tenant", "token", "s3cr3t", NOW)
    assert "s3cr3t" not in repr(vault.cloud.tables)
    assert values(vault.another(), "token", "absent") == {"token": "s3cr3t"}
    assert values(vault.another(), "token", tenant="other") == {}


def test_a_value_that_is_put_again_is_another_and_keeps_the_day_it_was_first_put(
    vault: Vault,
) -> None:
    vault.store.put("tenant", "token", "old", NOW)
    assert values(vault.store, "token") == {"token": "old"}
    vault.store.put("tenant", "token", "new", LATER)
    assert values(vault.store, "token") == {"token": "new"}
    assert vault.store.names("tenant") == [SecretDates("token", NOW, LATER)]


def test_names_are_listed_for_their_tenant_alone_and_without_what_signs(vault: Vault) -> None:
    vault.store.signing("tenant", NOW)
    for name in ("b", "a", "C"):
        vault.store.put("tenant", name, "x", NOW)
    assert [secret.name for secret in vault.store.names("tenant")] == ["C", "a", "b"]
    assert vault.store.names("other") == []


def test_more_names_than_a_page_holds_are_all_listed(vault: Vault) -> None:
    for number in range(400):
        vault.store.put("tenant", f"n{number:03}", "x" * 4096, NOW)
    assert len(vault.store.names("tenant")) == 400
    assert vault.cloud.calls.count("Query") > 1
    assert len(values(vault.store, *(f"n{number:03}" for number in range(400)))) == 400


def test_what_is_deleted_is_gone_and_deleting_it_again_is_told(vault: Vault) -> None:
    vault.store.put("tenant", "token", "x", NOW)
    with pytest.raises(SecretNotFound):
        vault.store.delete("other", "token")
    vault.store.delete("tenant", "token")
    assert vault.store.missing("tenant", {"token"}) == {"token"}
    with pytest.raises(SecretNotFound):
        vault.store.delete("tenant", "token")


def test_deleting_is_not_refused_for_what_its_own_lost_answer_has_done(vault: Vault) -> None:
    vault.store.put("tenant", "token", "x", NOW)
    vault.fails("DeleteItem", "after", code="ThrottlingException", http=400)
    vault.store.delete("tenant", "token")
    assert vault.store.missing("tenant", {"token"}) == {"token"}


def test_a_value_whose_answer_was_lost_is_put_once(vault: Vault) -> None:
    vault.fails("PutItem", "after", code="ThrottlingException", http=400)
    vault.store.put("tenant", "token", "x", NOW)
    assert values(vault.store, "token") == {"token": "x"}


@pytest.mark.parametrize("is_there", [False, True])
def test_a_value_that_is_written_late_undoes_no_later_one(vault: Vault, is_there: bool) -> None:
    if is_there:
        vault.store.put("tenant", "token", "first", NOW)
    late: list[Any] = []

    def lose(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem":
            late.append(request)
            raise client_error("InternalServerError", operation, 500)

    vault.cloud.before = lose
    with pytest.raises(Unavailable):
        vault.store.put("tenant", "token", "old", NOW)
    vault.cloud.before = lambda operation, request: None
    vault.store.put("tenant", "token", "new", LATER)
    with pytest.raises(ClientError):
        DynamoDB(vault.cloud).put_item(**late[0])
    assert values(vault.store, "token") == {"token": "new"}


def test_two_values_put_at_once_are_both_put_and_one_stays(vault: Vault) -> None:
    other: list[str] = []

    def first(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem" and not other:
            other.append("theirs")
            vault.another().put("tenant", "token", "theirs", NOW)

    vault.cloud.before = first
    vault.store.put("tenant", "token", "mine", NOW)
    assert (other, values(vault.store, "token")) == (["theirs"], {"token": "mine"})


def test_what_was_encrypted_for_one_place_cannot_be_read_in_another(vault: Vault) -> None:
    vault.store.put("tenant", "token", "x", NOW)
    item = vault.cloud.tables["secrets"]["tenant", "secret#token"]
    vault.cloud.tables["secrets"]["other", "secret#token"] = {**item, "tenant": {"S": "other"}}
    vault.cloud.tables["secrets"]["tenant", "secret#copy"] = {**item, "name": {"S": "secret#copy"}}
    for tenant, name in (("other", "token"), ("tenant", "copy")):
        with pytest.raises(Unavailable):
            values(vault.another(), name, tenant=tenant)


def test_a_ciphertext_is_decrypted_once_by_a_process(vault: Vault) -> None:
    vault.store.put("tenant", "token", "x", NOW)
    for _ in range(5):
        vault.store.unsealed("tenant", ["token"], NOW)
    assert vault.cloud.calls.count("Decrypt") == 2


def test_a_tenant_that_has_no_signing_secret_is_given_one(vault: Vault) -> None:
    made, *_ = vault.store.unsealed("tenant", [], NOW)
    assert vault.another().signing("tenant", LATER) == made
    assert vault.store.signing("other", NOW) != made
    assert made.current.startswith("whsec_")
    assert len(base64.b64decode(made.current.removeprefix("whsec_"), validate=True)) == 32


def test_signing_secrets_that_are_there_are_read_and_not_written(vault: Vault) -> None:
    made = vault.store.signing("tenant", NOW)
    vault.cloud.calls.clear()
    assert vault.store.signing("tenant", LATER) == made
    assert "PutItem" not in vault.cloud.calls


def test_of_two_that_make_the_first_signing_secret_at_once_one_wins(vault: Vault) -> None:
    other: list[Any] = []

    def first(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem" and not other:
            other.append(None)
            other.append(vault.another().signing("tenant", NOW))

    vault.cloud.before = first
    assert vault.store.signing("tenant", NOW) == other[1]


def test_a_rotation_signs_with_both_for_a_day(vault: Vault) -> None:
    first = vault.store.signing("tenant", NOW)
    second = vault.store.rotate("tenant", NOW)
    assert second.current != first.current
    assert vault.another().signing("tenant", LATER) == second
    assert second.in_force(NOW + OVERLAP - timedelta(seconds=1)) == (second.current, first.current)
    assert second.in_force(NOW + OVERLAP) == (second.current,)


@pytest.mark.parametrize(
    "act", [lambda store: store.signing("tenant", NOW), lambda store: store.rotate("tenant", NOW)]
)
def test_a_write_whose_answer_was_lost_is_not_made_twice(
    vault: Vault, act: Callable[[SecretStore], Any]
) -> None:
    vault.fails("PutItem", "after", code="ThrottlingException", http=400)
    made = act(vault.store)
    assert vault.another().signing("tenant", NOW) == made
    assert len(made.previous) <= 1


def test_rotations_at_once_lose_no_secret_that_signs(vault: Vault) -> None:
    vault.store.signing("tenant", NOW)
    seen: list[Any] = []

    def meanwhile(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem" and not seen:
            seen.append(None)
            seen[0] = vault.another().rotate("tenant", NOW)

    vault.cloud.before = meanwhile
    mine = vault.store.rotate("tenant", NOW)
    assert seen[0].current in mine.in_force(NOW)
    assert len(mine.in_force(NOW)) == 3


@pytest.mark.parametrize(
    "code",
    ["DisabledException", "AccessDeniedException", "KMSInternalException", "ThrottlingException"],
)
def test_a_key_that_cannot_be_used_is_unavailable_and_nothing_is_written(
    vault: Vault, code: str
) -> None:
    vault.fails("Encrypt", "before", times=100, code=code, http=400)
    with pytest.raises(Unavailable) as error:
        vault.store.put("tenant", "token", "x", NOW)
    assert not error.value.unknown
    assert vault.store.names("tenant") == []


@pytest.mark.parametrize(
    "act",
    [
        lambda store: store.put("tenant", "token", "x", NOW),
        lambda store: store.rotate("tenant", NOW),
    ],
)
def test_a_write_that_is_refused_for_another_reason_is_not_tried_again(
    vault: Vault, act: Callable[[SecretStore], Any]
) -> None:
    vault.fails("PutItem", "before", times=100, code="ValidationException", http=400)
    with pytest.raises(ClientError, match="ValidationException"):
        act(vault.store)
    assert vault.cloud.calls.count("PutItem") == 1


def test_values_are_decrypted_side_by_side(vault: Vault) -> None:
    for name in ("a", "b", "c"):
        vault.store.put("tenant", name, f"value of {name}", NOW)
    together: list[int] = []

    def run_all(calls: Sequence[Callable[[], list[str]]]) -> list[list[str]]:
        together.append(len(calls))
        return [call() for call in reversed(calls)][::-1]

    dynamodb: Any = DynamoDB(vault.cloud)
    kms: Any = KMS(vault.cloud)
    store = SecretStore(dynamodb, "secrets", lambda: kms, "key", run_all=run_all)
    assert values(store, "a", "b", "c") == {name: f"value of {name}" for name in "abc"}
    assert together == [3]


def test_a_job_that_begins_to_use_a_secret_in_a_header_during_a_put_is_not_overlooked(
    vault: Vault,
) -> None:
    vault.store.put("tenant", "token", "x", NOW)
    request = Request("https://example.com/", "GET", {"X-Token": "{{secret:token}}"})
    raced: list[str] = []

    def race(called: str, request_of: dict[str, Any]) -> None:
        if called == "PutItem" and not raced:
            raced.append(called)
            vault.another().check("tenant", request)

    vault.cloud.before = race
    with pytest.raises(InvalidInput, match="a job uses this secret in a header"):
        vault.store.put("tenant", "token", "no header carries it\n", NOW)
    assert values(vault.store, "token") == {"token": "x"}


def test_a_value_put_while_a_job_begins_to_use_the_secret_in_a_header_is_seen(vault: Vault) -> None:
    vault.store.put("tenant", "token", "x", NOW)
    request = Request("https://example.com/", "GET", {"X-Token": "{{secret:token}}"})
    raced: list[str] = []

    def race(called: str, request_of: dict[str, Any]) -> None:
        if called == "PutItem" and not raced:
            raced.append(called)
            vault.another().put("tenant", "token", "no header carries it\n", LATER)

    vault.cloud.before = race
    with pytest.raises(InvalidInput, match="cannot stand in a header"):
        vault.store.check("tenant", request)


@pytest.mark.parametrize(
    "write",
    [
        lambda store: store.put("tenant", "token", "mine", NOW),
        lambda store: store.check(
            "tenant", Request("https://example.com/", "GET", {"X-Token": "{{secret:token}}"})
        ),
        lambda store: store.rotate("tenant", NOW),
    ],
    ids=["put", "check", "rotate"],
)
def test_a_write_that_somebody_else_is_first_to_every_time_is_given_up_and_not_acknowledged(
    vault: Vault, write: Callable[[SecretStore], object]
) -> None:
    vault.store.put("tenant", "token", "x", NOW)
    signing = vault.store.signing("tenant", NOW)
    vault.fails("PutItem", "before", 1000, "ConditionalCheckFailedException", 400)
    vault.cloud.calls.clear()
    with pytest.raises(Unavailable):
        write(vault.store)
    assert vault.cloud.calls.count("PutItem") == 10
    assert (values(vault.store, "token"), vault.store.signing("tenant", NOW)) == (
        {"token": "x"},
        signing,
    )

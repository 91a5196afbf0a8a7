"""API keys: a new key is valid for its own stage alone, and no other text is a key."""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.api_keys import (
    TENANT,
    ApiKeyStatus,
    Key,
    Scope,
    StoredApiKey,
    new_key,
    read_key,
    verify,
)

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
SECOND = timedelta(seconds=1)
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KEY = Key("prod", "0123456789ab", "s" * 43)
RECORD = StoredApiKey(KEY.id, KEY.digest, "acme", frozenset(Scope), NOW)

texts = st.text(alphabet=BASE62)
stages = st.from_regex(r"[a-z][a-z0-9]{0,15}", fullmatch=True)
keys = st.builds(
    Key,
    stages,
    st.text(BASE62, min_size=12, max_size=12),
    st.text(BASE62, min_size=43, max_size=43),
)


@given(key=keys)
def test_what_is_written_is_read_back(key: Key) -> None:
    assert read_key(key.text, key.stage) == key
    assert re.fullmatch(r"rsn_[a-z0-9]{1,16}_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}", key.text)


@given(key=keys, stage=stages)
def test_another_stage_s_key_is_none(key: Key, stage: str) -> None:
    assert (read_key(key.text, stage) is not None) == (stage == key.stage)


@given(key=keys, place=st.integers(0, 80), letter=st.characters())
def test_a_key_with_one_letter_changed_is_none(key: Key, place: int, letter: str) -> None:
    text = key.text
    place %= len(text)
    if text[place] != letter:
        assert read_key(text[:place] + letter + text[place + 1 :], key.stage) is None


@given(text=st.one_of(st.text(), texts.map(lambda text: f"rsn_prod_{text}")))
def test_garbage_is_none(text: str) -> None:
    assert read_key(text, "prod") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        KEY.text[:-1],
        KEY.text + "0",
        f" {KEY.text}",
        f"{KEY.text}\n",
        KEY.text.upper(),
        KEY.text.replace("_", "-"),
        KEY.text.swapcase(),
    ],
)
def test_nearly_a_key_is_none(text: str) -> None:
    assert read_key(KEY.text, "prod") == KEY
    assert read_key(text, "prod") is None


def test_the_checksum_is_the_crc_32_of_all_before_it_in_base62() -> None:
    number = 0
    for letter in KEY.text[-6:]:
        number = number * 62 + BASE62.index(letter)
    assert number == zlib.crc32(KEY.text[:-6].encode())


def test_new_keys_differ_and_use_every_letter() -> None:
    made = [new_key("dev") for _ in range(500)]
    assert len({key.id for key in made}) == len({key.secret for key in made}) == 500
    assert {letter for key in made for letter in key.secret} == set(BASE62)
    assert all(read_key(key.text, "dev") == key for key in made)


def test_what_is_stored_of_the_secret_is_its_sha_256() -> None:
    assert KEY.digest == hashlib.sha256(KEY.secret.encode()).hexdigest()


def test_neither_a_key_nor_its_record_shows_what_opens_anything() -> None:
    for shown in (repr(KEY), str(KEY), f"{KEY}", repr(RECORD), str(RECORD)):
        assert KEY.id in shown
        assert KEY.secret not in shown
        assert KEY.digest not in shown


@pytest.mark.parametrize(
    ("record", "status"),
    [
        (RECORD, ApiKeyStatus.ACTIVE),
        (None, ApiKeyStatus.UNKNOWN),
        (replace(RECORD, digest=replace(KEY, secret="t" * 43).digest), ApiKeyStatus.UNKNOWN),
        (replace(RECORD, expires_at=NOW + SECOND), ApiKeyStatus.ACTIVE),
        (replace(RECORD, expires_at=NOW), ApiKeyStatus.EXPIRED),
        (replace(RECORD, expires_at=NOW - SECOND), ApiKeyStatus.EXPIRED),
        (replace(RECORD, revoked_at=NOW), ApiKeyStatus.REVOKED),
        # Revoked by a clock that is ahead of this one: it is, all the same.
        (replace(RECORD, revoked_at=NOW + SECOND), ApiKeyStatus.REVOKED),
        (replace(RECORD, revoked_at=NOW, expires_at=NOW), ApiKeyStatus.REVOKED),
    ],
)
def test_a_key_is_worth_what_its_record_says(
    record: StoredApiKey | None, status: ApiKeyStatus
) -> None:
    assert verify(KEY, record, NOW) == status


@given(secret=st.text(BASE62, min_size=43, max_size=43))
def test_another_secret_under_the_same_id_is_unknown(secret: str) -> None:
    other = replace(KEY, secret=secret)
    assert verify(other, RECORD, NOW) == (
        ApiKeyStatus.ACTIVE if secret == KEY.secret else ApiKeyStatus.UNKNOWN
    )


def test_whoever_does_not_know_the_secret_is_not_told_that_the_key_was_revoked() -> None:
    assert (
        verify(replace(KEY, secret="t" * 43), replace(RECORD, revoked_at=NOW), NOW)
        == ApiKeyStatus.UNKNOWN
    )


@pytest.mark.parametrize("name", ["", "#", "a#b", "Acme", "a b", "-a", "a" * 64, "a\n", "ä"])
def test_a_tenant_s_name_can_stand_in_every_name_that_is_made_of_it(name: str) -> None:
    assert TENANT.fullmatch("acme-2.eu_1")
    assert not TENANT.fullmatch(name)

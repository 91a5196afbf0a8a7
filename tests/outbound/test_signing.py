"""Signatures are those of Standard Webhooks: the official library verifies them."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from chalicelib.outbound import signing

# The vector of the upstream libraries' own tests.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = datetime.fromtimestamp(1614265330, UTC)
BODY = b'{"test": 2432232314}'
OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()
RUN = "run_01JD9V8M0Q4Q6T5W0H9C1Y3B7K-1-20261201T100000Z"


def verify(secret: str, headers: dict[str, str], body: bytes) -> None:
    Webhook(secret).verify(body, headers, json_parse=False)


def test_the_upstream_vector_is_signed_as_upstream_signs_it() -> None:
    assert signing.sign(SECRET, MESSAGE_ID, AT, BODY) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("body", [b"", b"{}", b"\xc3\xa9", b"null", b'"a.b"', b"a" * 65_536, b"a\r\nb", b"\x00", b".", b"1614265330.{}"])
def test_the_official_library_verifies_what_is_signed(body: bytes) -> None:
    verify(SECRET, signing.headers([SECRET], RUN, datetime.now(UTC), body), body)


def test_both_secrets_verify_while_one_replaces_the_other() -> None:
    headers = signing.headers([OTHER, SECRET], RUN, datetime.now(UTC), BODY)
    verify(OTHER, headers, BODY)
    verify(SECRET, headers, BODY)
    with pytest.raises(WebhookVerificationError):
        verify("whsec_" + base64.b64encode(b"another secret of someone").decode(), headers, BODY)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(part=st.sampled_from(["webhook-id", "webhook-timestamp", "body"]), at=st.integers(0, 10_000), bit=st.integers(0, 6))
def test_flipping_any_bit_of_id_timestamp_or_body_fails(part: str, at: int, bit: int) -> None:
    headers = signing.headers([SECRET], RUN, datetime.now(UTC), BODY)
    parts = {**{name: value.encode() for name, value in headers.items()}, "body": BODY}
    flipped = bytearray(parts[part])
    flipped[at % len(flipped)] ^= 1 << bit
    parts[part] = bytes(flipped)
    body = parts.pop("body")
    with pytest.raises(WebhookVerificationError):
        verify(SECRET, {name: value.decode() for name, value in parts.items()}, body)


def test_a_secret_without_padding_signs_the_same() -> None:
    padded = "whsec_" + base64.b64encode(b"12345678901234567890123456").decode()
    assert padded.endswith("=")
    assert signing.sign(padded, RUN, AT, BODY) == signing.sign(padded.rstrip("="), RUN, AT, BODY)


@pytest.mark.parametrize("secret", ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_not base64!", "whsec_a"])
def test_a_secret_of_another_form_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match="a signing secret") as raised:
        signing.sign(secret, RUN, AT, BODY)
    assert len(secret) < 8 or secret not in str(raised.value)


def test_a_message_without_a_secret_an_offset_or_a_plain_id_is_refused() -> None:
    with pytest.raises(ValueError, match="no secret"):
        signing.headers([], RUN, AT, BODY)
    with pytest.raises(ValueError, match="offset"):
        signing.sign(SECRET, RUN, AT.replace(tzinfo=None), BODY)
    with pytest.raises(ValueError, match="full stop"):
        signing.sign(SECRET, "run.1", AT, BODY)

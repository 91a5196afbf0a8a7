"""Signatures are those of Standard Webhooks: the official library verifies them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from chalicelib.outbound import signing

# The vector of the upstream libraries' own tests.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = datetime.fromtimestamp(1614265330, UTC)
BODY = b'{"test": 2432232314}'
OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()
RUN = "run_01JD9V8M0Q4Q6T5W0H9C1Y3B7K-1-20261201T100000Z"


# Ten more messages: secrets of 24 to 64 bytes, with and without padding; bodies of every kind that
# is sent.
MESSAGES = [
    (SECRET, RUN, b""),
    (OTHER, RUN, b"{}"),
    ("whsec_" + base64.b64encode(b"k" * 24).decode(), "msg_1", b"null"),
    ("whsec_" + base64.b64encode(b"\xff" * 64).decode().rstrip("="), RUN, "é, 漢字, 🙂".encode()),
    ("whsec_" + base64.b64encode(b"12345678901234567890123456").decode(), RUN, b'"a.b"'),
    (SECRET, "run_01JD9V8M0Q4Q6T5W0H9C1Y3B7K-99-manual", b"a" * 65_536),
    (SECRET, RUN, b"a\r\nb\r\n"),
    (OTHER, RUN, b"\x00\x01\x7f"),
    (OTHER, "x" * 200, b"."),
    (SECRET, "1614265330", b"1614265330.{}"),
]


def verify(secret: str, headers: dict[str, str], body: bytes) -> None:
    Webhook(secret).verify(body, headers, json_parse=False)


def test_the_upstream_vector_is_signed_as_upstream_signs_it() -> None:
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert (
        signing.sign(SECRET, MESSAGE_ID, AT, BODY)
        == Webhook(SECRET).sign(MESSAGE_ID, AT, BODY.decode())
        == expected
    )
    verify(SECRET, signing.headers([SECRET], MESSAGE_ID, datetime.now(UTC), BODY), BODY)


@pytest.mark.parametrize(("secret", "message_id", "body"), MESSAGES)
def test_the_official_library_signs_the_same_and_verifies_what_is_signed(
    secret: str, message_id: str, body: bytes
) -> None:
    assert len(MESSAGES) == 10
    for at in (AT, AT + timedelta(microseconds=999_999), datetime.fromtimestamp(0, UTC)):
        assert signing.sign(secret, message_id, at, body) == Webhook(secret).sign(
            message_id, at, body.decode()
        )
    verify(secret, signing.headers([secret], message_id, datetime.now(UTC), body), body)


def test_both_secrets_verify_while_one_replaces_the_other() -> None:
    headers = signing.headers([OTHER, SECRET], RUN, datetime.now(UTC), BODY)
    verify(OTHER, headers, BODY)
    verify(SECRET, headers, BODY)
    with pytest.raises(WebhookVerificationError):
        verify("whsec_" + base64.b64encode(b"another secret of someone").decode(), headers, BODY)


def flipped(text: bytes) -> Iterator[bytes]:
    """Return the text with each of its bits flipped, one at a time."""
    for at in range(len(text)):
        for bit in range(8):
            yield text[:at] + bytes([text[at] ^ 1 << bit]) + text[at + 1 :]


@pytest.mark.parametrize("body", [BODY, b"{}", "é🙂".encode()])
@pytest.mark.parametrize("part", ["webhook-id", "webhook-timestamp", "body"])
def test_flipping_any_bit_of_id_timestamp_or_body_fails(part: str, body: bytes) -> None:
    headers = signing.headers([SECRET], RUN, datetime.now(UTC), body)
    verify(SECRET, headers, body)
    tried = 0
    for changed in flipped(body if part == "body" else headers[part].encode()):
        tried += 1
        if part != "body":
            # Byte by byte, as servers hand headers on: whether such a header would get that far is
            # not asked.
            with pytest.raises(WebhookVerificationError):
                verify(SECRET, {**headers, part: changed.decode("latin-1")}, body)
        elif is_text(changed):
            with pytest.raises(WebhookVerificationError):
                verify(SECRET, headers, changed)
        else:
            # The library takes text only.
            with pytest.raises(UnicodeDecodeError):
                verify(SECRET, headers, changed)
    assert tried == 8 * len(body if part == "body" else headers[part])


def is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_a_secret_without_padding_signs_the_same() -> None:
    padded = "whsec_" + base64.b64encode(b"12345678901234567890123456").decode()
    assert padded.endswith("=")
    assert signing.sign(padded, RUN, AT, BODY) == signing.sign(padded.rstrip("="), RUN, AT, BODY)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_not base64!", "whsec_a"]
)
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

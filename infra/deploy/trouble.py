"""What stops a deploy: a sentence that says what is wrong, and one that says what to do."""

from __future__ import annotations

import re

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)

LOG_IN = (
    "log in: `aws configure` for keys, `aws sso login` for single sign-on; name a profile with AWS_PROFILE=. "
    "`aws sts get-caller-identity` says who you are."
)
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_AGAIN = "Then run the same command again: what is done already is found."
_LOGGED_OUT = (
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)
_SKEW = re.compile(
    r"Signature expired|Signature not yet current|RequestTimeTooSkewed", re.IGNORECASE
)
_DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "UnauthorizedOperation",
        "AuthorizationError",
        "UnauthorizedException",
    }
)


class Trouble(Exception):
    """It cannot go on.

    `why` says what is wrong, `next_step` what the person who deploys does about it.
    """

    def __init__(self, why: str, next_step: str) -> None:
        self.why = why
        self.next_step = next_step
        super().__init__(f"{why}\n\nWhat to do: {next_step}")


def code_of(error: ClientError) -> str:
    """Return the code of a service's error, such as `AccessDenied`."""
    return error.response.get("Error", {}).get("Code", "")


def message_of(error: ClientError) -> str:
    """Return the sentence of a service's error."""
    return error.response.get("Error", {}).get("Message", "")


def is_skewed(error: ClientError) -> bool:
    """Say whether AWS minds the time at which a request says that it was signed: 5 minutes off, and
    it is refused.
    """
    return bool(_SKEW.search(f"{code_of(error)} {message_of(error)}"))


def explained(error: ClientError | BotoCoreError) -> Trouble:
    """Return what AWS's own error means for a deploy, where nobody has said it better before."""
    if isinstance(error, _LOGGED_OUT):
        return Trouble(
            f"the AWS credentials cannot be used any more: {error}", f"{LOG_IN} {_AGAIN}"
        )
    if not isinstance(error, ClientError):
        return Trouble(
            f"AWS cannot be reached: {error}",
            "look at the network and the region, then run the same command again.",
        )
    what = f"AWS refused {error.operation_name}: {message_of(error)} ({code_of(error)})"
    if code_of(error) in _EXPIRED:
        return Trouble(
            f"the AWS credentials have expired: {message_of(error)}", f"{LOG_IN} {_AGAIN}"
        )
    if is_skewed(error):
        return Trouble(
            f"the clock of this computer is not right: {message_of(error)}", f"set it. {_AGAIN}"
        )
    if code_of(error) in _DENIED:
        return Trouble(
            what,
            "whoever deploys needs the permissions in infra/deploy/policy.json; have them attached, then run the same command again.",
        )
    return Trouble(
        what,
        "run the same command again: what is done already is found. If it stays, the sentence above says what AWS minds.",
    )

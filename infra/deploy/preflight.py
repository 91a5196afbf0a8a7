"""What is looked at before anything is changed: the stage's name, tools, credentials, region, and
where the stage was.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from chalicelib.domain.api_keys import STAGE
from infra.deploy.cloud import Cloud, Names
from infra.deploy.trouble import LOG_IN, Trouble, code_of, explained, is_skewed, message_of

# Lambda's runtimes; Chalice takes that of the interpreter which runs it.
_OLDEST, _NEWEST = (3, 11), (3, 14)
_WRONG = frozenset(
    {
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "SignatureDoesNotMatch",
        "InvalidAccessKeyId",
        "AuthFailure",
    }
)
_REGION_IN_ARN = re.compile(r"arn:[^:]*:[^:]*:([a-z0-9-]+):([0-9]{12}):")


def check_stage(stage: str, config: Path) -> None:
    """Raise Trouble unless the stage is one of .chalice/config.json that can be deployed."""
    if not STAGE.fullmatch(stage):
        raise Trouble(
            f"{stage!r} is no name of a stage",
            "give 1 to 16 lower-case letters and digits, a letter first: STAGE=dev.",
        )
    if stage == "local":
        raise Trouble(
            "the stage local is the laptop's",
            "name another, STAGE=dev; `make run` starts the laptop's.",
        )
    try:
        known = sorted(json.loads(config.read_text(encoding="utf-8"))["stages"].keys() - {"local"})
    except (ValueError, KeyError) as error:
        raise Trouble(
            f".chalice/{config.name} cannot be read: {error!r}",
            "put it right: `git diff .chalice` shows what was changed.",
        ) from error
    if stage not in known:
        raise Trouble(
            f"there is no stage {stage} in .chalice/config.json; it has {' and '.join(known) or 'none that can be deployed'}",
            f"name one of those, or copy the block of one of them in that file, with {stage} as its name.",
        )


def check_tools(
    python: tuple[int, int] = sys.version_info[:2],
    requirements: Path | None = None,
    version: Callable[[str], str] = metadata.version,
) -> None:
    """Raise Trouble unless this interpreter is one that Lambda runs, and Chalice the one that the
    project is tested with.
    """
    if not _OLDEST <= python <= _NEWEST:
        raise Trouble(
            f"Lambda does not run Python {python[0]}.{python[1]}; the functions get the version that deploys them",
            f"make the environment with one from {_dotted(_OLDEST)} to {_dotted(_NEWEST)}: make clean, then make PYTHON=python3.13 deploy",
        )
    wanted = _pinned(
        requirements or Path(__file__).parent.parent / "local" / "requirements.txt", "chalice"
    )
    try:
        found = version("chalice")
    except metadata.PackageNotFoundError:
        found = "none"
    if found != wanted:
        raise Trouble(
            f"Chalice {wanted} is needed; here is {found}",
            "deploy by `make deploy`, which installs it, or run make clean first.",
        )


def region_of(environ: Mapping[str, str], configured: str | None) -> str:
    """Return the region. Raises Trouble when there is none, or when two are named.

    The AWS command line reads AWS_REGION before AWS_DEFAULT_REGION, boto3 and Chalice only the
    latter.
    """
    first, second = environ.get("AWS_REGION", ""), environ.get("AWS_DEFAULT_REGION", "")
    if first and second and first != second:
        raise Trouble(
            f"AWS_REGION says {first}, AWS_DEFAULT_REGION says {second}",
            "unset one of them, or give both the region that you mean.",
        )
    region = first or second or configured
    if not region:
        raise Trouble(
            "no region is named",
            "name the one to deploy to: AWS_REGION=eu-central-1 make deploy …, or `aws configure set region …`.",
        )
    return region


def identify(make: Callable[[str], Any], region: str) -> Any:
    """Return who deploys, as STS says it.

    Raises Trouble for credentials that are missing, expired or wrong, and for no such region.
    """
    try:
        return make("sts").get_caller_identity()
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise Trouble(f"there are no AWS credentials: {error}", LOG_IN) from error
    except ProfileNotFound as error:
        raise Trouble(
            str(error),
            "`aws configure list-profiles` lists those that there are; set or unset AWS_PROFILE.",
        ) from error
    except (UnauthorizedSSOTokenError, SSOTokenLoadError, TokenRetrievalError, SSOError) as error:
        raise Trouble(
            f"the single sign-on is over: {error}",
            "log in again: `aws sso login`, with AWS_PROFILE= if you use one.",
        ) from error
    except (InvalidRegionError, NoRegionError, EndpointConnectionError) as error:
        raise Trouble(
            f"AWS does not answer in {region}: {error}",
            "look at the region's name (`aws account list-regions` lists those of your account) and at the network.",
        ) from error
    except ClientError as error:
        if code_of(error) in _WRONG and not is_skewed(error):
            raise Trouble(
                f"AWS does not take the credentials: {message_of(error)}",
                f"{LOG_IN} A region that your account has not switched on refuses good ones, too.",
            ) from error
        raise explained(error) from error
    except BotoCoreError as error:
        raise Trouble(f"the AWS credentials cannot be used: {error}", LOG_IN) from error


def check_home(cloud: Cloud, names: Names, deployed: Path) -> None:
    """Raise Trouble if the stage lives in another region of the account, or was deployed from this
    checkout to another account.
    """
    before = _region_of_role(cloud, names.of("scheduler"))
    if before not in (None, cloud.region):
        raise Trouble(
            f"the stage {names.stage} of this account lives in {before}, and you are about to deploy it to {cloud.region}",
            f"deploy there, with AWS_REGION={before}; or give the second one a name of its own in .chalice/config.json: "
            "the names of roles are the account's, so one stage cannot be in two regions.",
        )
    noted = _noted(deployed)
    if noted is not None and noted[1] != cloud.account:
        raise Trouble(
            f"this checkout has deployed the stage {names.stage} to the account {noted[1]}, and your credentials are {cloud.account}'s",
            f"use the other account's, or remove {deployed.name} from .chalice/deployed if the stage is to be in this one as well.",
        )


def _region_of_role(cloud: Cloud, role: str) -> str | None:
    """Return the region that the scheduler's role trusts: its trust names the stage's schedule
    group.
    """
    try:
        trust = cloud("iam").get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    except ClientError as error:
        if code_of(error) == "NoSuchEntity":
            return None
        raise
    text = unquote(trust) if isinstance(trust, str) else json.dumps(trust)
    match = _REGION_IN_ARN.search(text)
    return match[1] if match else None


def _noted(deployed: Path) -> tuple[str, str] | None:
    """Return the region and the account of what Chalice has noted in the checkout; None if that is
    nothing.
    """
    if not deployed.exists():
        return None
    match = _REGION_IN_ARN.search(deployed.read_text(encoding="utf-8"))
    return (match[1], match[2]) if match else None


def _pinned(requirements: Path, name: str) -> str:
    lines = requirements.read_text(encoding="utf-8").splitlines()
    return next(line.partition("==")[2].strip() for line in lines if line.startswith(f"{name}=="))


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))

"""Deploy a stage, test it, destroy it.

    python -m infra.deploy deploy --stage dev [--parameter AlarmEmail=you@example.com …]
    python -m infra.deploy smoke --stage dev
    python -m infra.deploy destroy --stage dev [--yes]

Credentials and the region are AWS's usual ones. Each can be repeated, and interrupted: what is done
is found.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ProfileNotFound

from infra.deploy import preflight, template
from infra.deploy.cloud import Cloud, Names
from infra.deploy.deploying import Checkout, deploy, test
from infra.deploy.destroying import Ask, confirm, destroy
from infra.deploy.trouble import Trouble, explained

# Patient, since a deploy makes many calls in a row; API Gateway's own calls are throttled above
# all.
_CONFIG = Config(
    connect_timeout=10, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 8}
)

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(
    arguments: Sequence[str],
    checkout: Checkout | None = None,
    connect: Callable[[], Cloud] | None = None,
    ask: Ask = input,
) -> int:
    """Do what the arguments say.

    Return the exit code: 0, 1 with what to do on standard error, or 130 when interrupted.
    """
    given, checkout = _parser().parse_args(arguments), checkout or Checkout()
    try:
        preflight.check_stage(given.stage, checkout.config)
        if given.action != "destroy":
            preflight.check_tools()
        cloud = (connect or reach)()
        cloud.say(f"Stage {given.stage}, account {cloud.account}, region {cloud.region}")
        match given.action:
            case "deploy":
                deploy(cloud, given.stage, checkout, dict(given.parameter))
            case "smoke":
                test(cloud, given.stage, checkout)
            case _:
                _destroy(cloud, given.stage, checkout, ask, is_sure=given.yes)
    except Trouble as trouble:
        return _failed(trouble)
    except (ClientError, BotoCoreError) as error:
        return _failed(explained(error))
    except KeyboardInterrupt:
        print(
            "\nInterrupted. Run the same command again: it goes on from what is done.",
            file=sys.stderr,
        )
        return 130
    except Exception as error:
        # A defect of ours: told in a sentence, and its stack trace kept in a file.
        return _failed(_defect(error, checkout.root / ".build" / "failure.log"))
    return 0


def reach(environ: Mapping[str, str] = os.environ) -> Cloud:
    """Return the cloud that the environment names.

    Raises Trouble for credentials or a region that will not do.
    """
    try:
        region = preflight.region_of(environ, boto3.Session().region_name)
        session = boto3.Session(region_name=region)
    except ProfileNotFound as error:
        raise Trouble(
            str(error),
            "`aws configure list-profiles` lists those that there are; set or unset AWS_PROFILE.",
        ) from error

    def client(service: str) -> Any:
        make: Any = session.client
        return make(service, config=_CONFIG)

    identity = preflight.identify(client, region)
    return Cloud(client, identity["Account"], region, identity["Arn"].split(":")[1])


def _destroy(cloud: Cloud, stage: str, checkout: Checkout, ask: Ask, *, is_sure: bool) -> None:
    names = Names(stage)
    preflight.check_home(cloud, names, checkout.deployed(stage))
    if not is_sure:
        confirm(names, ask)
    if not destroy(cloud, names, template.read(), checkout.deployed(stage)):
        cloud.say(f"There was nothing to delete in {cloud.region}.")


def _failed(trouble: Trouble) -> int:
    print(f"\n{trouble}", file=sys.stderr)
    return 1


def _defect(error: Exception, log: Path) -> Trouble:
    log.parent.mkdir(exist_ok=True)
    log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return Trouble(
        f"the deploy itself has failed: {type(error).__name__}: {error}",
        f"run the same command again; if it stays, that is a defect of Resona's: report it with {log}.",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.deploy", description="Deploy a stage, test it, destroy it."
    )
    actions = parser.add_subparsers(dest="action", required=True)
    deploying = actions.add_parser("deploy", help="deploy a stage, then test it")
    testing = actions.add_parser("smoke", help="test a deployed stage")
    destroying = actions.add_parser("destroy", help="delete a stage, all but its data")
    for action in (deploying, testing, destroying):
        action.add_argument(
            "--stage", required=True, help="dev, prod, or another of .chalice/config.json"
        )
    deploying.add_argument(
        "--parameter",
        action="append",
        default=[],
        type=_parameter,
        help="a parameter of infra/template.yaml, such as AlarmEmail=you@…",
    )
    destroying.add_argument("--yes", action="store_true", help="do not ask for the stage's name")
    return parser


def _parameter(text: str) -> tuple[str, str]:
    name, is_one, value = text.partition("=")
    if not is_one or name in ("", "Stage"):
        raise argparse.ArgumentTypeError(
            "give Name=value, with a name of infra/template.yaml's parameters other than Stage"
        )
    return name, value


def stop_tidily() -> None:
    """Have this process clean up what it has begun, by a KeyboardInterrupt, however it is asked to
    stop.
    """
    for one in _STOPS:
        # nohup has it ignored, and means that.
        if signal.getsignal(one) != signal.SIG_IGN:
            signal.signal(one, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    # Once is enough: what cleans up is not to be interrupted.
    for one in _STOPS:
        signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    stop_tidily()
    sys.exit(main(sys.argv[1:]))

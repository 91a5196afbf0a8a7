"""Deploy, test and destroy a stage. A deploy takes three commands; the second is Chalice's.

    python -m infra.deploy stack --stage dev [--parameter AlarmEmail=you@example.com …]
    chalice deploy --stage dev
    python -m infra.deploy finish --stage dev

    python -m infra.deploy smoke --stage dev
    python -m infra.deploy destroy --stage dev [--yes]

Credentials and region are AWS's usual ones. Every command can be repeated, also after Ctrl-C.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence

import requests
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.domain.errors import Unavailable
from infra.deploy import finish, hook, smoke, stack
from infra.deploy.cloud import ROOT, Cloud, Names, Trouble, explained, reach


def main(
    arguments: Sequence[str],
    connect: Callable[[], Cloud] = reach,
    ask: Callable[[str], str] = input,
    send: Callable[..., requests.Response] = requests.request,
) -> int:
    """Run a command. Return the exit code: 0, 1 with a sentence, 130 if interrupted."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.parameter and given.action != "stack":
        parser.error("--parameter is an option of stack alone")
    names = Names(given.stage)
    try:
        hook.check_stage(given.stage, ROOT)
        cloud = connect()
        cloud.say(f"Stage {given.stage}, account {cloud.account}, region {cloud.region}")
        hook.check_region(cloud, names)
        match given.action:
            case "stack":
                _stack(cloud, names, dict(given.parameter))
            case "finish":
                url = finish.finish(cloud, names, stack.look(cloud, names).outputs)
                create = f".venv/bin/python -m infra.keys create --stage {given.stage}"
                cloud.say(f"{url}\nNext: {create} --tenant <a name of yours> makes a key")
            case "smoke":
                _smoke(cloud, names, send)
            case _:
                _destroy(cloud, names, (lambda _: given.stage) if given.yes else ask)
    except Unavailable as error:
        return _failed(f"DynamoDB does not answer, repeat the command ({error.__cause__})")
    except Trouble as error:
        return _failed(str(error))
    except (ClientError, BotoCoreError) as error:
        return _failed(str(explained(error)))
    except KeyboardInterrupt:
        _failed("Interrupted: repeat the command, it continues.")
        return 130
    return 0


def _failed(sentence: str) -> int:
    print(f"\n{sentence}", file=sys.stderr)
    return 1


def _stack(cloud: Cloud, names: Names, parameters: dict[str, str]) -> None:
    is_changed = stack.deploy(cloud, names, {**parameters, "Running": "true"})
    given = stack.look(cloud, names).parameters
    cloud.say(f"The stack {names.stack} {'is deployed' if is_changed else 'has no changes'}")
    if given["Alarms"] == "on" and not given["AlarmEmail"]:
        command = f'make deploy STAGE={names.stage} PARAMETERS="AlarmEmail=you@example.com"'
        cloud.say(f"Alarms reach nobody yet: {command}, then confirm the mail")


def _smoke(cloud: Cloud, names: Names, send: Callable[..., requests.Response]) -> None:
    api = cloud.api(names)
    if api is None:
        raise Trouble(f"no API {names.stack} in {cloud.region}: `make deploy STAGE={names.stage}`")
    cloud.say("Testing: one job is to succeed, one to be retried and fail")
    late = smoke.smoke(cloud, names, cloud.url(api), send)
    cloud.say(f"It fired {late} ms after its time; the jobs and the key of the test are gone")


def _destroy(cloud: Cloud, names: Names, ask: Callable[[str], str]) -> None:
    question = (
        f"This deletes the URL of the stage {names.stage} for good, and its jobs no longer fire. "
        f"Its tables stay.\nType {names.stage} to go on: "
    )
    if ask(question).strip() != names.stage:
        raise Trouble(f"nothing was deleted: type {names.stage} when asked, or give --yes (YES=1)")
    stack.remove(cloud, names)
    cloud.say(
        f"The stack {names.stack} stays, with the tables, the key of secrets and the logs, and "
        f"costs what they store and $1 a month. `make deploy STAGE={names.stage}` goes on with "
        "them. docs/deploy.md says how to delete them."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.deploy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=("stack", "finish", "smoke", "destroy"))
    parser.add_argument("--stage", required=True, help="dev, prod, or one of your own")
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        type=_parameter,
        help="of stack, a parameter of infra/template.yaml: AlarmEmail=you@example.com",
    )
    parser.add_argument("--yes", action="store_true", help="of destroy: do not ask")
    return parser


def _parameter(text: str) -> tuple[str, str]:
    name, is_one, value = text.partition("=")
    if not is_one or name in ("", "Stage", "Running"):
        raise argparse.ArgumentTypeError("give Name=value, a parameter of infra/template.yaml")
    return name, value


def _interrupt(*_: object) -> None:
    """Raise KeyboardInterrupt once: a second signal must not interrupt the clean-up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Keep a signal ignored that was ignored before, such as SIGHUP by nohup.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    sys.exit(main(sys.argv[1:]))

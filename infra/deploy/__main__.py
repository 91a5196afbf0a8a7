"""Deploy a stage, in three commands of which the second is Chalice's own; test it; destroy it.

    python -m infra.deploy stack --stage dev [--parameter AlarmEmail=you@example.com …]
    chalice deploy --stage dev
    python -m infra.deploy finish --stage dev

    python -m infra.deploy smoke --stage dev
    python -m infra.deploy destroy --stage dev [--yes]

Credentials and region are AWS's usual ones. Each command can be repeated, also after an interrupt.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.domain.errors import Unavailable
from infra.deploy import destroy, finish, hook, smoke, stack
from infra.deploy.cloud import ROOT, Cloud, Names, Trouble, explained, reach


def main(
    arguments: Sequence[str],
    connect: Callable[[], Cloud] = reach,
    ask: Callable[[str], str] = input,
    fetch: smoke.Fetch = smoke.fetch,
) -> int:
    """Do what the arguments say. Return the exit code: 0, 1 with a sentence, 130 if interrupted."""
    given = _parser().parse_args(arguments)
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
                _finish(cloud, names)
            case "smoke":
                _smoke(cloud, names, fetch)
            case _:
                _destroy(cloud, names, ask, is_sure=given.yes)
    except (Trouble, Unavailable, ClientError, BotoCoreError) as error:
        if isinstance(error, Unavailable):
            error = Trouble(f"DynamoDB does not answer, repeat the command ({error.__cause__})")
        print(f"\n{error if isinstance(error, Trouble) else explained(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted: repeat the command, it continues.", file=sys.stderr)
        return 130
    return 0


def _stack(cloud: Cloud, names: Names, parameters: dict[str, str]) -> None:
    is_changed = stack.deploy(cloud, names, {**parameters, "Running": "true"})
    outputs = stack.look(cloud, names).outputs
    cloud.say(
        f"The stack {names.stack} is deployed" if is_changed else f"{names.stack}: no changes"
    )
    cloud.say(f"The dashboard: {outputs['DashboardUrl']}")
    if outputs["AlarmEmail"] == "none":
        command = f'make deploy STAGE={names.stage} PARAMETERS="AlarmEmail=you@example.com"'
        cloud.say(f"Alarms reach nobody yet: {command}, then confirm the mail")


def _finish(cloud: Cloud, names: Names) -> None:
    url = finish.finish(cloud, names, stack.look(cloud, names).outputs)
    command = (
        f".venv/bin/python -m infra.keys create --stage {names.stage} --tenant <a name of yours>"
    )
    cloud.say(f"{url}\nNext: {command} makes a key")


def _smoke(cloud: Cloud, names: Names, fetch: smoke.Fetch) -> None:
    api = cloud.api(names)
    if api is None:
        raise Trouble(f"no API {names.stack} in {cloud.region}: `make deploy STAGE={names.stage}`")
    cloud.say("Testing: one job is to succeed, one to be retried and fail")
    late = smoke.smoke(cloud, names, cloud.url(api), fetch)
    cloud.say(f"It fired {late} ms after its time; the jobs and the key of the test are gone")


def _destroy(cloud: Cloud, names: Names, ask: Callable[[str], str], *, is_sure: bool) -> None:
    question = (
        f"This deletes the URL of the stage {names.stage} for good, and its jobs no longer fire. "
        f"Its tables stay.\nType {names.stage} to go on: "
    )
    if not is_sure and ask(question).strip() != names.stage:
        raise Trouble(f"nothing was deleted: type {names.stage} when asked, or give --yes (YES=1)")
    destroy.destroy(cloud, names)
    cloud.say(
        f"The stack {names.stack} stays, with the tables, the key of secrets and the logs, and costs "
        f"what they store and $1 a month. `make deploy STAGE={names.stage}` goes on with them. "
        "docs/deploy.md says how to delete them."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.deploy", description="Deploy a stage.")
    actions = parser.add_subparsers(dest="action", required=True)
    made = {
        "stack": "create or update the CloudFormation stack: the first command",
        "finish": "set what Chalice cannot: the third command, after `chalice deploy`",
        "smoke": "test a deployed stage",
        "destroy": "delete a stage, except its data",
    }
    found = {name: actions.add_parser(name, help=text) for name, text in made.items()}
    for action in found.values():
        action.add_argument("--stage", required=True, help="dev, prod, or one of your own")
    parameter = found["stack"].add_argument(
        "--parameter", action="append", default=[], type=_parameter
    )
    parameter.help = "of infra/template.yaml: AlarmEmail=you@example.com"
    found["destroy"].add_argument("--yes", action="store_true", help="do not ask")
    return parser


def _parameter(text: str) -> tuple[str, str]:
    name, is_one, value = text.partition("=")
    if not is_one or name in ("", "Stage", "Running"):
        raise argparse.ArgumentTypeError("give Name=value, a parameter of infra/template.yaml")
    return name, value


def _interrupt(*_: object) -> None:
    """Interrupt once: what cleans up is not to be interrupted."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup ignores SIGHUP, and means it.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    sys.exit(main(sys.argv[1:]))

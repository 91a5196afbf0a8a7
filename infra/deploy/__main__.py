"""Deploy and destroy a stage. A deploy takes three commands; the second is Chalice's.

\b
    python -m infra.deploy stack --stage dev [--parameter AlarmEmail=you@example.com …]
    chalice deploy --stage dev
    python -m infra.deploy finish --stage dev
    python -m infra.deploy destroy --stage dev [--yes]

Credentials and region are AWS's usual ones. Every command can be repeated, also after Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Callable

import click

from infra.deploy import finish, stack
from infra.deploy.cloud import CliError, Cloud, enter, in_words

_stage = click.option("--stage", required=True, help="dev, prod, or one of your own")


@click.group(help=__doc__)
def main() -> None:
    """Deploy and destroy a stage. The context's object is a function that connects, or None."""


@main.command("stack")
@_stage
@click.option("--parameter", "given", multiple=True, help="Name=value; can be repeated")
@click.pass_obj
@in_words()
def deploy_stack(connect: Callable[[], Cloud] | None, stage: str, given: tuple[str, ...]) -> None:
    """Create or update the CloudFormation stack; parameters stay until they are given again."""
    cloud, names = enter(stage, connect)
    if any(one.startswith(("Stage=", "Running=")) or "=" not in one for one in given):
        raise CliError("--parameter: give Name=value, a parameter of infra/template.yaml")
    values = dict(one.split("=", 1) for one in given)
    is_changed = stack.deploy(cloud, names, {**values, "Running": "true"})
    click.echo(f"The stack {names.stack} {'is deployed' if is_changed else 'has no changes'}")
    parameters = stack.look(cloud, names).parameters
    if parameters["Alarms"] == "on" and not parameters["AlarmEmail"]:
        command = f'make deploy STAGE={stage} PARAMETERS="AlarmEmail=you@example.com"'
        click.echo(f"Alarms reach nobody yet: {command}, then confirm the mail")


@main.command("finish")
@_stage
@click.pass_obj
@in_words()
def finish_stage(connect: Callable[[], Cloud] | None, stage: str) -> None:
    """Set what Chalice has no setting for, and print the stage's URL."""
    cloud, names = enter(stage, connect)
    click.echo(finish.finish(cloud, names, stack.look(cloud, names).outputs))
    create = f".venv/bin/python -m infra.keys create --stage {stage} --tenant <a name of yours>"
    click.echo(f"Next: {create} makes a key")


@main.command()
@_stage
@click.option("--yes", is_flag=True, help="do not ask")
@click.pass_obj
@in_words()
def destroy(connect: Callable[[], Cloud] | None, stage: str, yes: bool) -> None:
    """Delete functions, API and stack of a stage, but not its data."""
    cloud, names = enter(stage, connect)
    question = (
        f"This deletes the URL of the stage {stage} for good, and its jobs no longer fire. Its "
        f"tables stay.\nType {stage} to go on"
    )
    if not yes and click.prompt(question) != stage:
        raise CliError(f"nothing was deleted: type {stage} when asked, or give --yes (YES=1)")
    stack.remove(cloud, names)
    has_own_key = not stack.look(cloud, names).parameters.get("SecretsKeyId")
    cost = f"{'$1 a month and ' if has_own_key else ''}storage"
    click.echo(
        f"The stack {names.stack} stays, with tables, key of secrets and logs, for {cost}. "
        f"`make deploy STAGE={stage}` goes on with them; docs/deploy.md deletes them."
    )


if __name__ == "__main__":
    main()

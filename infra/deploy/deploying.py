"""A deploy, from the first look to the smoke test.

Each step changes only what is not yet as it should be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra import project
from infra.deploy import (
    adopting,
    asynchronous,
    checks,
    found,
    functions,
    gateway,
    pollers,
    preflight,
    recursion,
    stack,
    switch,
    template,
)
from infra.deploy.cloud import Cloud, Names
from infra.deploy.smoke import Fetch, fetch, smoke
from infra.deploy.trouble import Trouble


@dataclass(frozen=True, slots=True)
class Checkout:
    """The folder from which is deployed, and the parts of a deploy that reach out of it: Chalice,
    and the stage's own URL.
    """

    root: Path = project.ROOT
    run: functions.Run = functions.run_chalice
    fetch: Fetch = fetch

    @property
    def config(self) -> Path:
        """Return Chalice's configuration."""
        return self.root / ".chalice" / "config.json"

    def deployed(self, stage: str) -> Path:
        """Return the file in which Chalice remembers what it made of a stage."""
        return self.root / ".chalice" / "deployed" / f"{stage}.json"

    def build(self, stage: str) -> Path:
        """Return the folder of a stage's rendered project."""
        return self.root / ".build" / stage


def deploy(cloud: Cloud, stage: str, checkout: Checkout, parameters: Mapping[str, str]) -> bool:
    """Deploy a stage and test it; return whether anything was changed. Raises Trouble."""
    names = Names(stage)
    preflight.check_home(cloud, names, checkout.deployed(stage))
    changed = _deploy_stack(cloud, names, parameters)
    outputs = stack.look(cloud, names.stack).outputs
    if switch.switch_off(cloud, names):
        changed = _told(cloud, "/smoke was left switched on by a test that broke off: it is off")
    existing = _deploy_functions(cloud, names, checkout, outputs)
    changed |= existing[0]
    api = existing[1]
    for function in asynchronous.arrange(cloud, names, outputs["FailedQueueArn"]):
        changed = _told(cloud, f"Set what happens to failed invocations of {function}")
    if existing[2] and (batches := pollers.bound(cloud, existing[2])):
        changed = _told(
            cloud,
            f"Set that the queue starts at most {batches} of {names.functions['deliver']} at once",
        )
    if recursion.allow(cloud, names):
        changed = _told(
            cloud,
            f"Set that {names.functions[recursion.PART]} may be invoked by what it wrote, however often",
        )
    for what in gateway.arrange(
        cloud, names, api, outputs["AccessLogsArn"], outputs["GatewayLogsRoleArn"]
    ):
        changed = _told(cloud, f"Set {what}")
    checks.check(cloud, names)
    checks.warn(cloud)
    if not changed:
        cloud.say("Nothing had to be changed.")
    test(cloud, stage, checkout)
    cloud.say(f"The dashboard: {outputs['DashboardUrl']}")
    email, topic = (
        stack.look(cloud, names.stack).parameters.get("AlarmEmail"),
        outputs["AlarmsTopicArn"],
    )
    if not email:
        cloud.say(
            f'Alarms reach nobody yet: make deploy STAGE={stage} PARAMETERS="AlarmEmail=you@example.com"'
        )
    elif not checks.hears(cloud, topic, email):
        cloud.say(
            f"Alarms do not reach {email}: it has not confirmed that it wants them.\n  What to do: follow the link in the message that AWS "
            f"has sent there; if it is gone, or older than two days, `aws sns subscribe --region {cloud.region} --topic-arn {topic} "
            f"--protocol email --notification-endpoint {email}` sends another."
        )
    return changed


def test(cloud: Cloud, stage: str, checkout: Checkout) -> None:
    """Make the smoke test of a deployed stage, and say where it is. Raises Trouble."""
    names = Names(stage)
    api = found.find(cloud, names).api
    if api is None:
        raise Trouble(
            f"the stage {stage} has no API in {cloud.region}",
            f"deploy it: `make deploy STAGE={stage}`.",
        )
    url = found.url_of(cloud, api)
    cloud.say("Testing: a job fires at the stage itself, fails once and is sent again")
    lateness = smoke(cloud, names, url, checkout.fetch)
    cloud.say(f"It fired {lateness} ms after its time, and nothing of the test is left.")
    make_key = (
        f".venv/bin/python -m infra.keys create --stage {stage} --tenant <whose jobs it opens>"
    )
    cloud.say(f"\n{url}\n\nNext, make a key: AWS_DEFAULT_REGION={cloud.region} {make_key}")


def _deploy_stack(cloud: Cloud, names: Names, parameters: Mapping[str, str]) -> bool:
    described = template.read()
    is_changed = False
    if not stack.settle(cloud, names.stack).is_there:
        is_changed = bool(adopting.adopt(cloud, names.stack, described, names.stage))
    cloud.say(f"Deploying the stack {names.stack}")
    if stack.apply(cloud, names.stack, described, {**parameters, "Stage": names.stage}):
        is_changed = _told(cloud, f"The stack {names.stack} is as infra/template.yaml has it")
    return is_changed


def _deploy_functions(
    cloud: Cloud, names: Names, checkout: Checkout, outputs: Mapping[str, str]
) -> tuple[bool, str, str | None]:
    """Deploy the functions and the API; return whether anything was to be done, the API's id, and
    that of the queue's mapping.
    """
    folder = checkout.build(names.stage)
    try:
        project.render(names.stage, outputs, folder, checkout.root)
    except project.OutputMissing as error:
        raise Trouble(
            str(error),
            "the template and .chalice/config.json do not fit together: take both from one version.",
        ) from error
    cloud.say("Deploying the functions and the API")
    is_changed = functions.deploy(
        cloud, names, folder, checkout.deployed(names.stage), checkout.run
    )
    existing = found.find(cloud, names)
    if existing.api is None:
        raise Trouble(
            "Chalice says that it has deployed, but there is no API", "run the same command again."
        )
    return is_changed, existing.api, existing.mapping[0] if existing.mapping else None


def _told(cloud: Cloud, what: str) -> bool:
    cloud.say(what)
    return True

"""The functions and the API, which Chalice deploys: only when there is something to deploy, and
never a second time over.

Chalice compares nothing: each of its deploys uploads every function and replaces the API. What was
deployed is noted in tags of the API's function, which Chalice takes away itself: a digest of the
project, and one of what Lambda has then. While both are still so, it is not run.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from infra.deploy import found
from infra.deploy.cloud import Cloud, Names
from infra.deploy.trouble import Trouble

_PROJECT, _FUNCTIONS = "resona:project", "resona:functions"
# What a deploy makes of it, which says nothing of what is to be deployed.
_MADE = frozenset({"deployed", "deployments", "__pycache__"})
_COMPARED = (
    "CodeSha256",
    "Handler",
    "Runtime",
    "Timeout",
    "MemorySize",
    "Role",
    "Environment",
    "Architectures",
    "TracingConfig",
)
_TOLD = 12


@dataclass(frozen=True, slots=True)
class Done:
    """How a command of Chalice's ended: its exit code, and what it said of what went wrong."""

    code: int
    errors: str


# Runs `chalice deploy` in a project's folder, for a stage, in a region.
Run = Callable[[Path, str, str], Done]


def run_chalice(project: Path, stage: str, region: str) -> Done:
    """Run `chalice deploy` for real. What it tells is shown as it comes."""
    command = [sys.executable, "-c", "import sys; from chalice.cli import main; sys.exit(main())"]
    arguments = [
        "--project-dir",
        str(project),
        "deploy",
        "--stage",
        stage,
        "--connection-timeout",
        "120",
    ]
    environment = {**os.environ, "AWS_DEFAULT_REGION": region, "AWS_REGION": region}
    done = subprocess.run(  # noqa: S603
        [*command, *arguments], env=environment, stderr=subprocess.PIPE, text=True, check=False
    )
    return Done(done.returncode, done.stderr)


def deploy(
    cloud: Cloud, names: Names, project: Path, deployed: Path, run: Run = run_chalice
) -> bool:
    """Deploy the rendered project; return whether anything was to be done. Raises Trouble.

    `deployed` is where Chalice remembers what it made: in the checkout, to which the project's
    folder links.
    """
    existing = found.find(cloud, names)
    found.note(existing, cloud, names, deployed)
    digest = digest_of(project)
    if (
        existing.api
        and existing.mapping
        and existing.has_rule
        and _noted(cloud, existing) == (digest, _as_it_is(cloud, names, existing))
    ):
        return False
    _forget(cloud, existing)
    done = run(project, names.stage, cloud.region)
    # Chalice notes what it made only when all went well; what there is now is found in the account,
    # however it went.
    existing = found.find(cloud, names)
    found.note(existing, cloud, names, deployed)
    if done.code != 0:
        raise Trouble(
            f"Chalice could not deploy the functions and the API:\n{_told(done.errors)}",
            "put right what it says, then run the same command again: it goes on from what is there, and makes nothing twice.",
        )
    tags = {_PROJECT: digest, _FUNCTIONS: _as_it_is(cloud, names, existing)}
    cloud("lambda").tag_resource(Resource=existing.functions["api_handler"], Tags=tags)
    return True


def digest_of(project: Path) -> str:
    """Return a digest of all that Chalice deploys from a folder, and of what it deploys it with."""
    digest = hashlib.sha256(
        f"python {sys.version_info[:2]} chalice {metadata.version('chalice')}".encode()
    )
    for path in sorted(_files(project)):
        body = path.read_bytes()
        digest.update(f"\n{path.relative_to(project).as_posix()} {len(body)}\n".encode() + body)
    return digest.hexdigest()


def _files(project: Path) -> Iterator[Path]:
    return (
        path
        for path in project.rglob("*")
        if path.is_file() and not _MADE & set(path.relative_to(project).parts)
    )


def _noted(cloud: Cloud, existing: found.Found) -> tuple[str, str] | None:
    arn = existing.functions.get("api_handler")
    if arn is None:
        return None
    tags = cloud("lambda").list_tags(Resource=arn)["Tags"]
    return tags.get(_PROJECT, ""), tags.get(_FUNCTIONS, "")


def _forget(cloud: Cloud, existing: found.Found) -> None:
    """Remove what was noted, so that a deploy which breaks off is not taken for one that was
    finished.
    """
    arn = existing.functions.get("api_handler")
    if arn is not None:
        cloud("lambda").untag_resource(Resource=arn, TagKeys=[_PROJECT, _FUNCTIONS])


def _as_it_is(cloud: Cloud, names: Names, existing: found.Found) -> str:
    """Return a digest of the functions as Lambda has them, so that a change made by hand is seen
    and put back.
    """
    have = {}
    for key in sorted(existing.functions):
        configuration = cloud("lambda").get_function_configuration(
            FunctionName=names.functions[key]
        )
        have[key] = {name: configuration.get(name) for name in _COMPARED}
    return hashlib.sha256(json.dumps(have, sort_keys=True, default=str).encode()).hexdigest()


def _told(errors: str) -> str:
    """Return what Chalice says, without the stack trace that it says it with."""
    _, told, rest = errors.rpartition("ChaliceDeploymentError: ")
    lines = [line for line in (rest if told else errors).splitlines() if line.strip()]
    if not told:
        lines = [line for line in lines if not line.startswith(("Traceback", "  "))]
    return "\n".join(f"  {line.strip()}" for line in lines[-_TOLD:]) or "  (it does not say why)"

"""The Lambda functions that Chalice would create, from its own plan."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from chalice.config import Config
from chalice.deploy import models
from chalice.deploy.appgraph import ApplicationGraphBuilder

from app import app
from infra.deploy.cloud import ROOT

STAGE = "some"


@cache
def functions() -> dict[str, Any]:
    """Return Chalice's models of the functions, by its names for them."""
    config = json.loads((ROOT / ".chalice" / "config.json").read_text(encoding="utf-8"))
    chalice = Config(
        chalice_stage=STAGE,
        user_provided_params={"chalice_app": app, "project_dir": str(ROOT)},
        config_from_disk=config,
    )
    resources = ApplicationGraphBuilder().build(chalice, STAGE).resources
    found = [found for resource in resources for found in _functions_in(resource)]
    return {function.resource_name: function for function in found}


def _functions_in(resource: Any) -> list[Any]:
    if isinstance(resource, models.LambdaFunction):
        return [resource]
    return [resource.lambda_function, *getattr(resource, "authorizers", [])]


def function_names() -> set[str]:
    """Return the functions' full names, with `${Stage}` in them."""
    return {
        function.function_name.replace(f"resona-{STAGE}", "resona-${Stage}")
        for function in functions().values()
    }

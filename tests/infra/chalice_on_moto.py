"""`chalice deploy` as it is, on moto: its own plan, executor and notes, in a process of its own.

    python -m tests.infra.chalice_on_moto <project> <stage> [<method to stop before>]

Two things are not Chalice's: what the functions need is not downloaded, and the API, whose
description moto refuses, is made of the same description call by call. Every call to AWS is added
to the file that RESONA_CALLS names.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from chalice.awsclient import TypedAWSClient
from chalice.cli.factory import CLIFactory
from chalice.deploy import deployer as chalice
from chalice.deploy.appgraph import ApplicationGraphBuilder, DependencyBuilder
from chalice.deploy.executor import Executor
from chalice.deploy.planner import PlanStage, RemoteState
from chalice.deploy.swagger import TemplatedSwaggerGenerator
from chalice.deploy.sweeper import ResourceSweeper
from chalice.policy import AppPolicyGenerator
from chalice.utils import UI, OSUtils

from tests.infra.packager import new_packager
from tests.infra.recording import record


class Client(TypedAWSClient):  # type: ignore[misc]
    """Chalice's client, which dies before one of its methods if it is told to."""

    dies_before = ""

    def __getattribute__(self, name: str) -> Any:
        if name == object.__getattribute__(self, "dies_before"):
            os._exit(9)
        return super().__getattribute__(name)

    def import_rest_api(self, swagger_document: dict[str, Any], endpoint_type: str) -> str:
        gateway = self._client("apigateway")
        api: str = gateway.create_rest_api(
            name=swagger_document["info"]["title"], endpointConfiguration={"types": [endpoint_type]}
        )["id"]
        self.update_api_from_swagger(api, swagger_document)
        return api

    def update_api_from_swagger(self, rest_api_id: str, swagger_document: dict[str, Any]) -> None:
        """Put one path, enough to see whose API it is; and forget what API Gateway was told to
        answer, as AWS does.
        """
        gateway = self._client("apigateway")
        resources = {
            one["path"]: one["id"] for one in gateway.get_resources(restApiId=rest_api_id)["items"]
        }
        path = "/health"
        if path not in resources:
            resources[path] = gateway.create_resource(
                restApiId=rest_api_id, parentId=resources["/"], pathPart=path.strip("/")
            )["id"]
            gateway.put_method(
                restApiId=rest_api_id,
                resourceId=resources[path],
                httpMethod="GET",
                authorizationType="NONE",
            )
        described = swagger_document["paths"][path]["get"]["x-amazon-apigateway-integration"]
        gateway.put_integration(
            restApiId=rest_api_id,
            resourceId=resources[path],
            httpMethod="GET",
            type="AWS_PROXY",
            integrationHttpMethod="POST",
            uri=_arn(described["uri"], self.region_name),
        )
        for response in gateway.get_gateway_responses(restApiId=rest_api_id)["items"]:
            gateway.delete_gateway_response(
                restApiId=rest_api_id, responseType=response["responseType"]
            )


def _arn(uri: Any, region: str) -> str:
    assert isinstance(uri, str)
    return uri.replace("{region_name}", region)


def main(project: str, stage: str, dies_before: str = "") -> int:
    """Deploy as `chalice deploy` does."""
    try:
        factory = CLIFactory(project, environ=os.environ)
        config = factory.create_config_obj(chalice_stage_name=stage)
        session = factory.create_botocore_session()
        record(session, Path(os.environ["RESONA_CALLS"]))
        osutils, ui, client = OSUtils(), UI(), Client(session, sleep=lambda seconds: None)
        client.dies_before = dies_before
        steps = [
            chalice.InjectDefaults(),
            chalice.DeploymentPackager(packager=new_packager()),
            chalice.PolicyGenerator(
                policy_gen=AppPolicyGenerator(osutils=osutils), osutils=osutils
            ),
            chalice.SwaggerBuilder(swagger_generator=TemplatedSwaggerGenerator()),
            chalice.LambdaEventSourcePolicyInjector(),
        ]
        state = RemoteState(client, config.deployed_resources(stage))
        deployer = chalice.Deployer(
            application_builder=ApplicationGraphBuilder(),
            deps_builder=DependencyBuilder(),
            build_stage=chalice.BuildStage(steps=steps),
            plan_stage=PlanStage(osutils=osutils, remote_state=state),
            sweeper=ResourceSweeper(),
            executor=Executor(client, ui),
            recorder=chalice.ResultsRecorder(osutils=osutils),
        )
        print(json.dumps(deployer.deploy(config, chalice_stage_name=stage)))
    except Exception:
        traceback.print_exc()
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

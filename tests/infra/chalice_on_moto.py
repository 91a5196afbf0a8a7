"""`chalice` as a person types it, on moto: `python -m tests.infra.chalice_on_moto deploy --stage
dev`, in the checkout's folder.

Three things are not Chalice's: what the functions need is not downloaded; the API, whose
description moto refuses, is made of the same description call by call; and how many functions the
account runs at once, which moto does not know, is RESONA_LIMIT. Every call to AWS is added to the
file that RESONA_CALLS names. RESONA_DIES_BEFORE is the method of Chalice's client before which the
process dies, RESONA_REFUSED the one that AWS refuses.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

# The checkout's app, and not the one beside these tests.
sys.path.insert(0, str(Path.cwd()))

from chalice import awsclient, cli
from chalice.deploy import deployer

from infra.deploy import hook
from tests.cloud import client_error
from tests.infra.packager import NoDependencies
from tests.infra.recording import record_all

_ANSWERS = "x-amazon-apigateway-gateway-responses"


class Client(awsclient.TypedAWSClient):
    """Chalice's client, which dies before one of its methods if it is told to."""

    def __getattribute__(self, name: str) -> Any:
        if name == os.environ.get("RESONA_DIES_BEFORE"):
            os._exit(9)
        if name == os.environ.get("RESONA_REFUSED"):
            raise client_error("AccessDeniedException", name, 403)
        return super().__getattribute__(name)

    def import_rest_api(self, swagger_document: dict[str, Any], endpoint_type: str) -> str:
        gateway = self._client("apigateway")
        api: str = gateway.create_rest_api(
            name=swagger_document["info"]["title"], endpointConfiguration={"types": [endpoint_type]}
        )["id"]
        self.update_api_from_swagger(api, swagger_document)
        return api

    def deploy_rest_api(self, rest_api_id: str, api_gateway_stage: str, xray: bool) -> None:
        """Leave a stage that is there its settings, as AWS does."""
        gateway = self._client("apigateway")
        if not gateway.get_stages(restApiId=rest_api_id)["item"]:
            super().deploy_rest_api(rest_api_id, api_gateway_stage, xray)
            return
        made = gateway.create_deployment(restApiId=rest_api_id)["id"]
        patch = [{"op": "replace", "path": "/deploymentId", "value": made}]
        gateway.update_stage(
            restApiId=rest_api_id, stageName=api_gateway_stage, patchOperations=patch
        )

    def update_api_from_swagger(self, rest_api_id: str, swagger_document: dict[str, Any]) -> None:
        """Put one path, enough to see whose API it is, and the gateway responses; all former ones
        go, as AWS does it.
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
            uri=described["uri"],
        )
        for response in gateway.get_gateway_responses(restApiId=rest_api_id)["items"]:
            gateway.delete_gateway_response(
                restApiId=rest_api_id, responseType=response["responseType"]
            )
        for kind, response in swagger_document[_ANSWERS].items():
            gateway.put_gateway_response(restApiId=rest_api_id, responseType=kind, **response)


if __name__ == "__main__":
    record_all(Path(os.environ["RESONA_CALLS"]))
    hook.limit_of = lambda cloud: int(os.environ["RESONA_LIMIT"])
    vars(deployer).update(
        TypedAWSClient=Client, PipDependencyBuilder=lambda **given: NoDependencies()
    )
    sys.exit(cli.main())

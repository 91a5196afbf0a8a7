"""Record every call to AWS by a hook of boto3, so that tests can list a deploy's calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from botocore.client import BaseClient


def record(session: Any, path: Path) -> None:
    """Note each call of a session's clients, boto3's or botocore's, as a line of JSON: service,
    operation, parameters.
    """
    events = (
        session.events if hasattr(session, "events") else session.get_component("event_emitter")
    )

    def note(params: dict[str, Any], model: Any, **others: Any) -> None:
        _note(path, model, params)

    events.register("provide-client-params.*.*", note)


def record_all(path: Path) -> None:
    """Note each call of every client of this process, whichever session it is of."""
    base: Any = BaseClient
    call = base._make_api_call

    def noting(client: BaseClient, operation: str, params: dict[str, Any]) -> Any:
        _note(path, client.meta.service_model.operation_model(operation), params)
        return call(client, operation, params)

    base._make_api_call = noting


def _is_big(value: Any) -> bool:
    return isinstance(value, bytes) or (
        isinstance(value, dict) and any(isinstance(one, bytes) for one in value.values())
    )


def _note(path: Path, model: Any, params: dict[str, Any]) -> None:
    if model.service_model.service_name == "apigateway":
        # Its permissions go by method and path.
        params = {
            **params,
            "_method": model.http["method"],
            "_path": model.http["requestUri"].split("?")[0],
        }
    line = [
        model.service_model.service_name,
        model.name,
        {name: value for name, value in params.items() if not _is_big(value)},
    ]
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, default=str) + "\n")


def read(path: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the calls that were noted."""
    return (
        [tuple(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
        if path.exists()
        else []
    )


class Noting:
    """A client of a test's own, whose calls are noted as boto3's are."""

    def __init__(self, client: Any, service: str, path: Path) -> None:
        self._client, self._service, self._path = client, service, path

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def noted(*given: Any, **params: Any) -> Any:
            # A paginator is asked for by the name of its operation.
            operation = "".join(
                part.capitalize() for part in (given[0] if given else name).split("_")
            )
            with self._path.open("a", encoding="utf-8") as file:
                file.write(
                    json.dumps(
                        [
                            self._service,
                            operation,
                            {"StackName": params.get("StackName", "resona-dev")},
                        ]
                    )
                    + "\n"
                )
            return method(*given, **params)

        return noted

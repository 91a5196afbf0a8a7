"""The Chalice app: register the routes and the Lambda functions."""

import os

from chalice.app import Chalice

from chalicelib.api import cors, routing
from chalicelib.api.routes import (
    backfills,
    bulk,
    calendars,
    completion,
    console,
    documentation,
    flows,
    health,
    jobs,
    mending,
    notices,
    runs,
    secrets,
    triggers,
    upcoming,
)
from chalicelib.aws import clients
from chalicelib.handlers import authorizer, composition

# API Gateway's metrics are grouped by this name, so it must contain the stage.
app = Chalice(app_name=f"resona-{os.environ.get('RESONA_STAGE', 'local')}", configure_logs=False)
app.register_blueprint(authorizer.functions, name_prefix="")
for blueprint in (
    jobs.routes,
    bulk.routes,
    runs.routes,
    upcoming.routes,
    mending.routes,
    backfills.routes,
    completion.routes,
    triggers.routes,
    secrets.routes,
    notices.routes,
    calendars.routes,
    flows.routes,
    health.routes,
    documentation.routes,
    console.routes,
):
    app.register_blueprint(blueprint)
cors.serve_preflights(app)
app.register_middleware(routing.observed, "http")
routing.backend.compose(composition.scheduling)

# Only Chalice's commands set this variable; `infra` is not deployed. This must precede the import
# of the executor, which reads RESONA_CONCURRENCY at import: a deploy sets it here.
if "AWS_CHALICE_CLI_MODE" in os.environ:
    from infra.command import before_chalice

    before_chalice()

# Chalice deploys the functions that it finds registered here. In Lambda each function imports its
# own module, so the API skips the executor, for a shorter cold start.
if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    clients.make_early("dynamodb", "sqs", "scheduler")
else:
    from chalicelib.handlers import executor

    app.register_blueprint(executor.functions, name_prefix="")

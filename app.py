"""Resona: the Chalice app, put together. No logic lives here."""

import os

from chalice.app import Chalice

from chalicelib.api import cors, routing
from chalicelib.api.routes import bulk, documentation, health, jobs, runs, secrets, triggers
from chalicelib.aws import clients
from chalicelib.handlers import authorizer, composition

# The API's name in API Gateway, by which its metrics go: two stages in one region must not be
# counted as one.
app = Chalice(app_name=f"resona-{os.environ.get('RESONA_STAGE', 'local')}", configure_logs=False)
app.register_blueprint(authorizer.functions, name_prefix="")
for blueprint in (
    jobs.routes,
    bulk.routes,
    runs.routes,
    triggers.routes,
    secrets.routes,
    health.routes,
    documentation.routes,
):
    app.register_blueprint(blueprint)
cors.serve_preflights(app)
app.register_middleware(routing.observed, "http")
routing.backend.compose(composition.scheduling)

# Chalice's commands import the app with this set; Lambda never sets it. Nothing that is deployed
# has what this imports. Before the executor: a deploy decides how many deliveries run at once.
if "AWS_CHALICE_CLI_MODE" in os.environ:
    from infra.command import before_chalice

    before_chalice()

# Chalice asks here for the functions that it deploys. Lambda has them in modules of their own, and
# in the API's its cold start would pay.
if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    clients.make_early("dynamodb", "sqs", "scheduler")
else:
    from chalicelib.handlers import executor

    app.register_blueprint(executor.functions, name_prefix="")

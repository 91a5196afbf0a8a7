"""The Chalice app: register the routes and the Lambda functions."""

import os

from chalice.app import Chalice

from chalicelib.api import cors, routing
from chalicelib.api.routes import bulk, documentation, health, jobs, runs, secrets, triggers
from chalicelib.aws import clients
from chalicelib.handlers import authorizer, composition

# API Gateway's metrics are counted by this name: two stages in one region need two.
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

# Chalice's commands set this variable, Lambda does not, and `infra` is not deployed. This must come
# before the executor: a deploy sets RESONA_CONCURRENCY, which the executor reads when imported.
if "AWS_CHALICE_CLI_MODE" in os.environ:
    from infra.command import before_chalice

    before_chalice()

# Chalice deploys the functions that it finds here. In Lambda each function imports its own module,
# and the API does without the executor, for a shorter cold start.
if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    clients.make_early("dynamodb", "sqs", "scheduler")
else:
    from chalicelib.handlers import executor

    app.register_blueprint(executor.functions, name_prefix="")

"""Resona: the Chalice app, put together. No logic lives here."""

import os

from chalice.app import Chalice

from chalicelib.api import cors, routing, smoke
from chalicelib.api.routes import bulk, documentation, health, jobs, runs, secrets, triggers
from chalicelib.handlers import authorizer

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
# After the preflights: it has none.
app.register_blueprint(smoke.routes)
app.register_middleware(routing.observed, "http")

# Chalice asks here for the functions that it deploys. Lambda has them in modules of their own, and
# in the API's its cold start would pay.
if "AWS_LAMBDA_FUNCTION_NAME" not in os.environ:
    from chalicelib.handlers import executor

    app.register_blueprint(executor.functions, name_prefix="")

if os.environ.get("RESONA_STAGE") == "local":
    from infra.local.run import start

    start(app)

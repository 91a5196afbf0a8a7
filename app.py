"""Resona: the Chalice app, put together. No logic lives here."""

import os

from chalice.app import Chalice

from chalicelib import authorizer, executor
from chalicelib.api import bulk, cors, documentation, health, jobs, routing, runs, secrets, triggers

# The API's name in API Gateway, by which its metrics go: two stages in one region must not be counted as one.
app = Chalice(app_name=f"resona-{os.environ.get('RESONA_STAGE', 'local')}", configure_logs=False)
for functions in (executor.functions, authorizer.functions):
    app.register_blueprint(functions, name_prefix="")
for blueprint in (jobs.routes, bulk.routes, runs.routes, triggers.routes, secrets.routes, health.routes, documentation.routes):
    app.register_blueprint(blueprint)
cors.serve_preflights(app)
app.register_middleware(routing.observed, "http")

if os.environ.get("RESONA_STAGE") == "local":
    from infra.local.run import start

    start(app)

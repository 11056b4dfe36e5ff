"""The routers of the REST API."""

from __future__ import annotations

from mlops_assets.hub.external import routes as external
from mlops_assets.hub.rest import (
    data,
    decisions,
    footprints,
    home,
    launches,
    models,
    runs,
    samples,
    search,
    training_form,
)

ROUTERS = (
    data.router,
    decisions.router,
    external.router,
    footprints.router,
    home.router,
    launches.router,
    training_form.router,  # before that of models, to which `form` may be a version
    models.router,
    runs.router,
    samples.router,
    search.router,
)

"""The routers of the REST API."""

from __future__ import annotations

from mlops_assets.hub.external import routes as external
from mlops_assets.hub.rest import git_webhooks, home, search
from mlops_assets.hub.rest.data import datasets, footprints, samples, versions
from mlops_assets.hub.rest.models import decisions, models, training_form
from mlops_assets.hub.rest.runs import history, launches, remarks

ROUTERS = (
    datasets.router,
    footprints.router,
    samples.router,
    versions.router,
    decisions.router,
    training_form.router,  # before that of models, to which `form` may be a version
    models.router,
    external.router,
    history.router,
    launches.router,
    git_webhooks.router,
    remarks.router,
    home.router,
    search.router,
)

"""What a training that was asked for will run, before it is started."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

import yaml
from pydantic import JsonValue

from mlops_assets.hub.orchestration.launcher import Sweep, TrainingRequest
from mlops_assets.hub.views.training.fields import SpecificationText
from mlops_assets.models.specification import ModelSpecification

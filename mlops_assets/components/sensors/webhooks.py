"""The sensor `webhooks`, which delivers messages about model versions.

It starts no run. The core delivers; see `mlops_assets.integrations.webhooks`.
"""

from pathlib import Path

import dagster as dg

from mlops_assets.settings import Settings
from resources import StoreResource

INTERVAL_SECONDS = 30


def webhooks() -> dg.Definitions:
    """Return the sensor; nothing if no webhooks are declared."""
    declared = Settings.from_environment().webhooks
    return dg.Definitions() if declared is None else dg.Definitions(sensors=[_sensor(declared)])


def _sensor(path: Path) -> dg.SensorDefinition:
    @dg.sensor(
        name="webhooks",
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Delivers messages about model versions to the declared webhooks.",
    )
    def deliver_messages(
        context: dg.SensorEvaluationContext, store: StoreResource
    ) -> dg.SkipReason:
        from mlops_assets.errors import Conflict
        from mlops_assets.integrations.webhooks.declaration import read_webhooks
        from mlops_assets.integrations.webhooks.deliver import deliver

        try:
            done = deliver(store.open().registry, read_webhooks(path))
        except Conflict:
            return dg.SkipReason("another process is delivering")
        for message, attempt in done:
            if attempt.error is not None:
                context.log.warning(
                    f"{message.event} to {message.webhook} is {attempt.state}: {attempt.error}"
                )
        delivered = sum(attempt.error is None for _, attempt in done)
        return dg.SkipReason(f"{delivered} message(s) delivered, {len(done) - delivered} failed")

    return deliver_messages

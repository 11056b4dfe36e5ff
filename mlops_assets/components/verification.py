"""The asset `workspace` and its check.

The check verifies on a schedule that everything is as it was published: every night the changes
since the last complete verification that passed, and once a week everything. The core does it.
"""

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from mlops_assets.components.graph.kinds import workspace_kinds
from mlops_assets.settings import Settings
from resources import StoreResource

WORKSPACE = dg.AssetKey("workspace")
CHECK = dg.AssetCheckKey(WORKSPACE, "as_published")
EVERY_NIGHT = "30 2 * * 1-6"
EVERY_WEEK = "30 2 * * 0"
# metadata: the newest entry of the log at the last complete verification that passed
_WELL_UP_TO = "well_up_to_entry"
# problems in the description; the metadata have all
_LISTED = 20


class VerificationConfig(dg.Config):
    """The extent of a verification.

    Attributes:
        whole: everything, not only the changes since the last complete verification that passed.
    """

    whole: bool = False


def verification() -> dg.Definitions:
    """Return the asset, its check, a job and two schedules."""

    @dg.asset_check(
        asset=WORKSPACE,
        name=CHECK.name,
        description=(
            "Every file has the bytes it was published with, the registry agrees with its log, and"
            " the log is mirrored in the workspace and contains the head that was kept outside."
        ),
    )
    def as_published(
        context: dg.AssetCheckExecutionContext, config: VerificationConfig, store: StoreResource
    ) -> dg.AssetCheckResult:
        from mlops_assets.models.verify import verify_all
        from mlops_assets.monitoring.verify import verify_monitoring
        from mlops_assets.registry.log.heads import verify_kept_head

        settings = Settings.from_environment()
        since = 0 if config.whole else _well_up_to(context.instance)
        opened = store.open()
        found = verify_all(opened, since)
        verify_monitoring(opened, found)
        if settings.log_head is not None:
            found.problems += verify_kept_head(settings.log_head, settings.cache, found.log)
        listed = [*found.problems[:_LISTED], *(["…"] if len(found.problems) > _LISTED else [])]
        return dg.AssetCheckResult(
            passed=found.passed,
            severity=dg.AssetCheckSeverity.ERROR,
            description="; ".join(listed)
            or f"{found.files} files are as they were published, and the registry, too",
            metadata={
                "whole": since == 0,
                "since_entry": since,
                _WELL_UP_TO: found.log.seq if since == 0 and found.passed else since,
                "head": f"{found.log.seq}:{found.log.sha256}",
                "files": found.files,
                "size": found.size,
                "problems": dg.MetadataValue.json(found.problems),
                "notes": dg.MetadataValue.json(found.notes),
            },
        )

    job = dg.define_asset_job(
        "verify",
        selection=dg.AssetSelection.checks(CHECK),
        description="Verify that everything is as published.",
    )
    schedules = [
        dg.ScheduleDefinition(
            name=name,
            job=job,
            cron_schedule=cron,
            run_config={"ops": {"workspace_as_published": {"config": {"whole": whole}}}},
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description=description,
        )
        for name, cron, whole, description in (
            (
                "verify_changes",
                EVERY_NIGHT,
                False,
                "Changes since the last complete verification that passed.",
            ),
            ("verify_everything", EVERY_WEEK, True, "Every file in the workspace."),
        )
    ]
    spec = dg.AssetSpec(
        WORKSPACE,
        group_name="workspace",
        description="Everything that was published: files, the registry, and its log.",
        kinds=workspace_kinds(),
    )
    return dg.Definitions(
        assets=[spec], asset_checks=[as_published], jobs=[job], schedules=schedules
    )


def _well_up_to(instance: dg.DagsterInstance) -> int:
    """Return the newest entry of the log at the last complete check.

    It is 0 if there was none, or if that check failed.
    """
    done = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}
    records = instance.event_log_storage.get_asset_check_execution_history(
        CHECK, limit=1, status=done
    )
    for evaluation in (record.evaluation for record in records):
        value = None if evaluation is None else evaluation.metadata[_WELL_UP_TO].value
        return value if isinstance(value, int) else 0
    return 0

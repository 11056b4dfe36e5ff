"""The assets `workspace/backup` and `workspace/unneeded`, and a schedule that is off at first.

The core makes the backup and counts what nothing needs; files are removed by `mlops gc --delete`,
or by a run of the asset with `delete`.
"""

import dagster as dg

from mlops_assets.components.graph.kinds import workspace_kinds
from mlops_assets.components.project.unfinished_runs import unfinished_runs
from mlops_assets.components.verification import WORKSPACE
from mlops_assets.errors import SettingsError
from mlops_assets.settings import Settings
from resources import StoreResource

BACKUP = dg.AssetKey(["workspace", "backup"])
UNNEEDED = dg.AssetKey(["workspace", "unneeded"])
EVERY_NIGHT = "30 1 * * *"
UPKEEP = "upkeep"


class BackupConfig(dg.Config):
    """The place of a backup.

    Attributes:
        place: folder or URL; that of `MLOPS_BACKUP` if empty.
    """

    place: str = ""


class UnneededConfig(dg.Config):
    """What is done to files that nothing needs.

    Attributes:
        delete: remove them; else they are counted only.
    """

    delete: bool = False


def upkeep() -> dg.Definitions:
    """Return the assets, a job and a schedule that is stopped by default."""

    @dg.asset(
        key=BACKUP,
        deps=[WORKSPACE],
        group_name="workspace",
        kinds=workspace_kinds(),
        description="A backup of the workspace and the registry; see 'mlops backup list'.",
    )
    def backup(
        context: dg.AssetExecutionContext, config: BackupConfig, store: StoreResource
    ) -> dg.MaterializeResult[None]:
        from pathlib import Path

        from mlops_assets.settings import workspace_url
        from mlops_assets.text.secret_urls import redacted
        from mlops_assets.upkeep.backup.create import create_backup

        place = config.place or Settings.from_environment().backup
        if not place:
            raise SettingsError(
                "there is no place for backups; set MLOPS_BACKUP to a folder or bucket outside the"
                " workspace, or name it as 'place'"
            )
        url = workspace_url(place, Path.cwd())
        made = create_backup(store.open(), url)
        document = made.document
        return dg.MaterializeResult(
            data_version=dg.DataVersion(document.digest),
            metadata={
                "name": document.name,
                "place": redacted(url),
                "head": "" if document.head is None else ":".join(map(str, document.head)),
                "files": document.files.rows,
                "size": document.size,
                "copied_size": made.copied_size,
                "notes": dg.MetadataValue.json(list(document.notes)),
            },
        )

    @dg.asset(
        key=UNNEEDED,
        deps=[WORKSPACE],
        group_name="workspace",
        kinds=workspace_kinds(),
        description="Files that nothing needs any more, counted, and removed with 'delete'.",
    )
    def unneeded(
        context: dg.AssetExecutionContext, config: UnneededConfig, store: StoreResource
    ) -> dg.MaterializeResult[None]:
        from mlops_assets.upkeep.gc import collect
        from mlops_assets.upkeep.rules import Rules

        running = unfinished_runs(context.instance)
        found = collect(store.open(), Rules(), running, config.delete)
        rows = [
            {"kind": tally.kind, "files": tally.files, "bytes": tally.size, "rule": tally.rule}
            for tally in found
        ]
        return dg.MaterializeResult(
            metadata={
                "deleted": config.delete,
                "files": sum(tally.files for tally in found),
                "size": sum(tally.size for tally in found),
                "kinds": dg.MetadataValue.json(rows),
            }
        )

    job = dg.define_asset_job(
        UPKEEP,
        selection=dg.AssetSelection.assets(backup, unneeded),
        description="Back up the workspace, and count the files that nothing needs.",
    )
    schedule = dg.ScheduleDefinition(
        name=UPKEEP,
        job=job,
        cron_schedule=EVERY_NIGHT,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="A backup every night, to MLOPS_BACKUP.",
    )
    return dg.Definitions(assets=[backup, unneeded], jobs=[job], schedules=[schedule])

"""Which lines of Dagster's log are printed."""

from mlops_assets.cli.up.dagster_log import Warnings

RUN = "forest_lifecycle - 72341116-d0e6-431c-9795-529940e9b7b2"
AT = "2026-11-29 12:05:21 +0000"
LOG = f"""\
left over by a library
{AT} - dagster.daemon.SensorDaemon - INFO - Sensor new_data skipped: the landing has not changed
and a second line of it
{AT} - dagster.daemon - ERROR - Another SENSOR daemon is still sending heartbeats.
{AT} - dagster - WARNING - {RUN} - forest__trained_model - 3 rows have no label
{AT} - dagster - ERROR - {RUN} - 27760 - forest__trained_model - STEP_FAILURE - Execution failed.

dagster._core.errors.DagsterExecutionStepExecutionError: Error occurred while executing op:

Stack Trace:
  File "execute_plan.py", line 243, in dagster_event_sequence_for_step
    yield from check.generator(step_events)

The above exception was caused by the following exception:
mlops_assets.errors.TrainerError: trainer own:train failed: boom
see the log
{AT} - dagster - ERROR - {RUN} - forest__record - Dependencies for step forest__record failed.
{AT} - dagster - ERROR - {RUN} - 27760 - RUN_FAILURE - Execution of run failed.
mlops_assets.errors.TrainerError: trainer own:train failed: boom
{AT} - dagster - ERROR - {RUN} - 8657 - forest__trained_model - STEP_FAILURE - Execution failed.
dagster._core.errors.DagsterExecutionInterruptedError
"""


def test_only_warnings_and_the_reasons_of_failed_steps_are_printed() -> None:
    warnings = Warnings()
    picked = [text for line in LOG.splitlines() if (text := warnings.pick(line)) is not None]
    assert picked == [
        "error: Another SENSOR daemon is still sending heartbeats.",
        "warning: forest__trained_model - 3 rows have no label",
        "error: mlops_assets.errors.TrainerError: trainer own:train failed: boom",
        "see the log",
    ]

"""A code location with one small job, whose runs each write a row: what has been executed."""

import os
import time

import dagster as dg
from sqlalchemy import Column, Float, Integer, MetaData, String, Table, create_engine, insert

JOB = "small"
WORK_SECONDS = 30.0  # else most of those that are under way are still starting
DATABASE = "QUEUED_RUNS_DATABASE"
# no key: a run that is executed twice is to leave two rows
EXECUTED = Table(
    "executed",
    MetaData(),
    Column("run_id", String(64)),
    Column("pid", Integer),
    Column("finished", Float),
)


@dg.op
def work(context: dg.OpExecutionContext) -> None:
    """Wait, and write the row."""
    time.sleep(WORK_SECONDS)
    engine = create_engine(os.environ[DATABASE])
    row = {"run_id": context.run_id, "pid": os.getpid(), "finished": time.time()}
    with engine.begin() as connection:
        connection.execute(insert(EXECUTED), row)
    engine.dispose()


@dg.job(name=JOB)
def small() -> None:
    """One op."""
    work()


defs = dg.Definitions(jobs=[small], executor=dg.in_process_executor)

"""Logged points of runs: series of their metrics."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from mlops_assets.principals import Role
from mlops_assets.registry.log.chain import note_points
from mlops_assets.registry.schema import Point, Run
from mlops_assets.registry.session import RegistrySession

LoggedPoint = tuple[int, str, int, float, float]  # seq, name, step, value, seconds since the epoch
_COLUMNS = "INSERT INTO points (run_id, seq, name, step, value, logged)"
_INSERT_POINTS = {
    "sqlite": f"{_COLUMNS} VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    "postgresql": f"{_COLUMNS} VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
}


class RunPoints(RegistrySession):
    """Logged points of runs."""

    def log(self, run_id: str, points: Sequence[LoggedPoint]) -> None:
        """Append points to the series of a run, in one transaction.

        Args:
            run_id: the run.
            points: (seq, name, step, value, logged), `logged` in seconds since the epoch; those
                whose `seq` the run has already are ignored.
        """
        if points:
            with self.transaction("log points", Role.SCIENTIST) as session:
                # a run cannot end before this is done
                status = session.scalar(
                    select(Run.status).filter_by(run_id=run_id).with_for_update(read=True)
                )
                add_points(session.connection(), run_id, points)
                if status not in (None, "running"):
                    note_points(session, run_id)

    def points(self, run_id: str) -> list[LoggedPoint]:
        """Return every point of a run.

        Args:
            run_id: the run.

        Returns:
            (seq, name, step, value, logged), in the order logged.
        """
        query = select(Point.seq, Point.name, Point.step, Point.value, Point.logged).where(
            Point.run_id == run_id
        )
        with self.reading() as session:
            rows = session.execute(query.order_by(Point.seq))
            return [(seq, name, step, value, logged) for seq, name, step, value, logged in rows]

    def points_since(self, run_id: str, first: int, limit: int) -> list[LoggedPoint]:
        """Return points of a run from one on, for a display that has those before.

        Args:
            run_id: the run.
            first: number of the first point wanted.
            limit: number of points, at most.

        Returns:
            (seq, name, step, value, logged), in the order logged.
        """
        table = Point.__table__.c
        query = (
            select(table.seq, table.name, table.step, table.value, table.logged)
            .where(table.run_id == run_id, table.seq >= first)
            .order_by(table.seq)
            .limit(limit)
        )
        with self.reading() as session:
            rows = session.execute(query)
            return [(seq, name, step, value, logged) for seq, name, step, value, logged in rows]

    def newest_points(self, run_id: str, limit: int) -> list[LoggedPoint]:
        """Return the last points of a run, for display while it runs.

        Args:
            run_id: the run.
            limit: number of points, at most.

        Returns:
            (seq, name, step, value, logged), in the order logged.
        """
        query = select(Point.seq, Point.name, Point.step, Point.value, Point.logged).where(
            Point.run_id == run_id
        )
        with self.reading() as session:
            rows = session.execute(query.order_by(Point.seq.desc()).limit(limit)).all()
        return [
            (seq, name, step, value, logged) for seq, name, step, value, logged in reversed(rows)
        ]

    def series(self, run_id: str) -> dict[str, list[tuple[int, float]]]:
        """Return the metrics of a run as series.

        Args:
            run_id: the run.

        Returns:
            Name → [(step, value), …], in the order logged.
        """
        found: dict[str, list[tuple[int, float]]] = {}
        table = Point.__table__.c
        query = (
            select(table.name, table.step, table.value)
            .where(table.run_id == run_id)
            .order_by(table.seq)
        )
        with self.reading() as session:
            for name, step, value in session.execute(query):
                found.setdefault(name, []).append((step, value))
        return found

    def ranges(self, run_id: str) -> dict[str, tuple[int, float, float]]:
        """Return how often each metric of a run was logged, with its range; no point is loaded.

        Args:
            run_id: the run.

        Returns:
            Name → (number of values, smallest, largest), by name.
        """
        table = Point.__table__.c
        found = (func.count(), func.min(table.value), func.max(table.value))
        query = (
            select(table.name, *found)
            .where(table.run_id == run_id)
            .group_by(table.name)
            .order_by(table.name)
        )
        with self.reading() as session:
            return {name: (count, low, high) for name, count, low, high in session.execute(query)}

    def next_seq(self, run_id: str) -> int:
        """Return the number of the next point of a run.

        Args:
            run_id: the run.

        Returns:
            0 if it has logged nothing.
        """
        with self.reading() as session:
            last = session.scalar(select(func.max(Point.seq)).where(Point.run_id == run_id))
        return 0 if last is None else last + 1


def add_points(connection: Connection, run_id: str, points: Sequence[LoggedPoint]) -> None:
    """Add points within a transaction; those that are there already are left.

    By the driver itself, which takes a seventh of the time that SQLAlchemy's own insert needs.
    """
    if points:
        statement = _INSERT_POINTS[connection.dialect.name]
        connection.exec_driver_sql(statement, [(run_id, *point) for point in points])

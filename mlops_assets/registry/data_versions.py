"""Data versions and their tags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import func, select, tuple_
from sqlalchemy.exc import IntegrityError as SqlIntegrityError

from mlops_assets.errors import Conflict, Forbidden, NotFound
from mlops_assets.names import Reference, check_label
from mlops_assets.paths import data_owner
from mlops_assets.principals import Role, Visibility
from mlops_assets.registry.schema import DataVersion, ModelVersion, Tag
from mlops_assets.registry.session import RegistrySession, record_files, version_of
from mlops_assets.settings import initial_visibility
from mlops_assets.storage import FileStat


class NewestVersion(NamedTuple):
    """The newest version of a dataset; number and size in bytes of all its versions."""

    row: DataVersion
    versions: int
    size: int


class DataVersions(RegistrySession):
    """Data versions and their tags."""

    def publish_data_version(
        self,
        row: DataVersion,
        files: Sequence[FileStat],
        inputs: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Publish a data version, as visible as new ones are, but no more than its inputs.

        Args:
            row: the data version.
            files: its files, as stored in the workspace.
            inputs: dataset and version of each data version that it was made from.

        Raises:
            Conflict: the version or the digest exists already.
        """
        try:
            with self.transaction("publish data version", Role.SCIENTIST) as session:
                rows = [session.get(DataVersion, key) for key in inputs]
                circles = [given.visibility for given in rows if given is not None]
                row.visibility = Visibility.narrowest(
                    row.visibility or initial_visibility(), *circles
                )
                session.add(row)
                record_files(session, data_owner(row.dataset, row.version), files)
        except SqlIntegrityError as error:
            raise Conflict(
                f"{row.dataset}@{row.version} was published by another process; commit again to get"
                " the next version"
            ) from error

    def data_versions(self, dataset: str | None = None) -> list[DataVersion]:
        """Return data versions, oldest first.

        Args:
            dataset: name of the dataset; all datasets if None.

        Returns:
            Rows by dataset and number.
        """
        query = select(DataVersion).order_by(DataVersion.dataset, DataVersion.number)
        with self.reading() as session:
            return list(
                session.scalars(
                    query if dataset is None else query.where(DataVersion.dataset == dataset)
                )
            )

    def newest_data_versions(self) -> list[NewestVersion]:
        """Return the newest data version of each dataset, by dataset, with the number of all."""
        counted = select(
            DataVersion.dataset,
            func.max(DataVersion.number),
            func.count(),
            func.sum(DataVersion.size),
        ).group_by(DataVersion.dataset)
        place = tuple_(DataVersion.dataset, DataVersion.number)
        with self.reading() as session:
            totals = {row[0]: (row[1], row[2], row[3]) for row in session.execute(counted)}
            newest = [(dataset, found[0]) for dataset, found in totals.items()]
            rows = session.scalars(
                select(DataVersion).where(place.in_(newest)).order_by(DataVersion.dataset)
            )
            return [NewestVersion(row, *totals[row.dataset][1:]) for row in rows]

    def newest_committed(self, limit: int) -> list[DataVersion]:
        """Return the newest data versions of all datasets, newest first.

        Args:
            limit: versions at most.
        """
        query = select(DataVersion).order_by(DataVersion.created.desc()).limit(limit)
        with self.reading() as session:
            return list(session.scalars(query))

    def count_data_versions(self, dataset: str) -> int:
        """Return the number of data versions of a dataset.

        Args:
            dataset: its name.
        """
        query = select(func.count()).select_from(DataVersion).where(DataVersion.dataset == dataset)
        with self.reading() as session:
            return session.scalar(query) or 0

    def data_versions_page(self, dataset: str, limit: int, skip: int = 0) -> list[DataVersion]:
        """Return some data versions of a dataset, newest first.

        Args:
            dataset: its name.
            limit: versions at most.
            skip: versions to leave out before, of former pages.
        """
        query = select(DataVersion).filter_by(dataset=dataset)
        query = query.order_by(DataVersion.number.desc()).limit(limit).offset(skip)
        with self.reading() as session:
            return list(session.scalars(query))

    def data_version_before(self, row: DataVersion) -> DataVersion | None:
        """Return the data version before another one of its dataset; None for the first.

        Args:
            row: the other one.
        """
        query = select(DataVersion).filter_by(dataset=row.dataset)
        query = query.where(DataVersion.number < row.number)
        with self.reading() as session:
            return session.scalar(query.order_by(DataVersion.number.desc()).limit(1))

    def data_version(self, reference: Reference) -> DataVersion:
        """Resolve `dataset@version`, `dataset@tag`, or `dataset` (the newest).

        Args:
            reference: to the data version.

        Returns:
            Its row.

        Raises:
            NotFound: there is no such dataset, version or tag.
        """
        name, what = reference.name, reference.what
        query = select(DataVersion).where(DataVersion.dataset == name)
        with self.reading() as session:
            found = session.scalar(query.order_by(DataVersion.number.desc()).limit(1))
            if found is None:
                raise NotFound(
                    f"dataset {name!r} has no data version; "
                    f"land files and run 'mlops dataset commit {name}'"
                )
            if what is not None:
                tagged = select(Tag.version).where(Tag.dataset == name, Tag.tag == what)
                found = version_of(session, query, DataVersion.version, what, tagged)
        if found is None:
            versions = [row.version for row in self.data_versions(name)]
            raise NotFound(f"{reference} is not known; {name} has {', '.join(versions)}")
        return found

    def hides(self, reference: Reference) -> bool:
        """Return whether a data version is there that the principal may not see.

        Args:
            reference: to it, by its version.
        """
        query = select(DataVersion.version).filter_by(
            dataset=reference.name, version=reference.what
        )
        with self.reading() as session:
            if session.scalar(query) is not None:
                return False
        with self.unrestricted().reading() as session:
            return session.scalar(query) is not None

    def data_version_with(self, dataset: str, digest: str) -> DataVersion | None:
        """Return the data version with a digest.

        Args:
            dataset: name of the dataset.
            digest: of the content, 64 hex digits.

        Returns:
            Its row; None if there is none.

        Raises:
            Forbidden: there is one that the principal may not see.
        """
        query = select(DataVersion).filter_by(dataset=dataset, digest=digest)
        with self.reading() as session:
            found = session.scalar(query)
        if found is None:
            with self.unrestricted().reading() as session:
                if session.scalar(query) is not None:
                    raise Forbidden(
                        f"{self.principal.name} may not see the data version of {dataset} that has"
                        " this content already; ask who has committed it, or an operator, to widen"
                        " its visibility"
                    )
        return found

    def next_number(self, dataset: str) -> int:
        """Return the number of the next data version.

        Args:
            dataset: name of the dataset.
        """
        query = select(func.max(DataVersion.number)).filter_by(dataset=dataset)
        with self.unrestricted().reading() as session:
            return (session.scalar(query) or 0) + 1

    def tags(self, dataset: str) -> dict[str, str]:
        """Return the tags of a dataset.

        Args:
            dataset: its name.

        Returns:
            Tag → version.
        """
        with self.reading() as session:
            return {
                row.tag: row.version
                for row in session.scalars(select(Tag).filter_by(dataset=dataset))
            }

    def all_tags(self) -> dict[str, dict[str, str]]:
        """Return the tags of all datasets that have some.

        Returns:
            Dataset → tag → version.
        """
        found: dict[str, dict[str, str]] = {}
        with self.reading() as session:
            for row in session.scalars(select(Tag).order_by(Tag.dataset, Tag.tag)):
                found.setdefault(row.dataset, {})[row.tag] = row.version
        return found

    def trained_on(self, dataset: str) -> dict[str, int]:
        """Return how many model versions were trained on each version of a dataset.

        Args:
            dataset: its name.

        Returns:
            Data version → number, at least 1.
        """
        query = (
            select(ModelVersion.data_version, func.count())
            .filter_by(dataset=dataset)
            .group_by(ModelVersion.data_version)
        )
        with self.reading() as session:
            return {row[0]: row[1] for row in session.execute(query)}

    def tag(self, dataset: str, version: str, tag: str) -> None:
        """Give a data version a tag; the same tag on the same version is no change.

        Args:
            dataset: name of the dataset.
            version: its version, e.g. `v2`.
            tag: the tag, which never moves.

        Raises:
            Conflict: the tag names another version already.
            NameRefused: the tag cannot be a name, or has the form of a version.
            NotFound: there is no such version.
        """
        check_label(tag, "tag")
        self.data_version(Reference(dataset, version))
        with self.transaction("tag data version", Role.SCIENTIST) as session:
            found = session.get(Tag, (dataset, tag))
            if found is None:
                session.add(Tag(dataset=dataset, tag=tag, version=version))
            elif found.version != version:
                raise Conflict(
                    f"tag {tag!r} of {dataset} names {found.version} already; tags do not move"
                )

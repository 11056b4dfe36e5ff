"""Notes and tags that users give to runs, whether those are under way or have ended.

A run's own documents do not have them; the log does.
"""

from __future__ import annotations

from sqlalchemy import select

from mlops_assets.errors import Conflict, NotFound, SpecificationError
from mlops_assets.principals import Role
from mlops_assets.registry.schema import Run, RunNote
from mlops_assets.registry.session import RegistrySession, existing, now
from mlops_assets.text.strict_json import check_scalar

# characters; each note is kept in the chained log for ever
MAX_NOTE = 10_000
MAX_TAG = 255
# of one run
MAX_TAGS = 100


class RunRemarks(RegistrySession):
    """Notes and tags of users on runs."""

    def note_run(self, run_id: str, text: str) -> RunNote:
        """Add a note to a run; it is never changed.

        Args:
            run_id: the whole id of the run.
            text: of the note.

        Returns:
            The note, which names the principal.

        Raises:
            NotFound: there is no such run that the principal may see.
            SpecificationError: the text is empty, too long, or not text.
        """
        text = _checked(text.strip(), "a note", MAX_NOTE)
        with self.transaction("note run", Role.SCIENTIST) as session:
            self._visible_run(run_id)
            note = RunNote(run_id=run_id, text=text, noted=now(), noted_by=self.principal.name)
            session.add(note)
        return note

    def notes(self, run_id: str) -> list[RunNote]:
        """Return the notes on a run, oldest first.

        Args:
            run_id: the whole id of the run.
        """
        query = select(RunNote).filter_by(run_id=run_id).order_by(RunNote.id)
        with self.reading() as session:
            return list(session.scalars(query))

    def tag_run(self, run_id: str, name: str, value: str | None) -> Run:
        """Set a tag of a run, or remove one that a user has set.

        Args:
            run_id: the whole id of the run.
            name: of the tag.
            value: of the tag; None to remove it.

        Returns:
            The run, with its tags as they are now.

        Raises:
            Conflict: the tag to be removed was recorded by the run itself, or the run has too many.
            NotFound: there is no such run that the principal may see, or no such tag.
            SpecificationError: name or value is empty, too long, or cannot be filtered by.
        """
        check_tag_name(name)
        if value is not None:
            value = _checked(value.strip(), f"the value of tag {name!r}", MAX_TAG)
        with self.transaction("tag run", Role.SCIENTIST) as session:
            self._visible_run(run_id)
            run = existing(session.get(Run, run_id), f"run {run_id}")
            tags = dict(run.user_tags)
            if value is not None:
                tags[name] = value
                if len(tags) > MAX_TAGS:
                    raise Conflict(
                        f"run {run_id[:8]} has {MAX_TAGS} tags already; remove one first"
                    )
            elif name in tags:
                del tags[name]
            elif name in run.tags:
                raise Conflict(
                    f"tag {name!r} was recorded by run {run_id[:8]} itself, and cannot be removed;"
                    " set another value, which is shown instead"
                )
            else:
                raise NotFound(f"run {run_id[:8]} has no tag {name!r}")
            run.user_tags = tags
        return run

    def _visible_run(self, run_id: str) -> None:
        with self.reading() as session:
            if session.scalar(select(Run.run_id).where(Run.run_id == run_id)) is None:
                raise NotFound(f"there is no run {run_id!r}; see 'mlops run list'")


def check_tag_name(name: str) -> None:
    """Check that filters can name a tag: `tags.NAME`.

    Raises:
        SpecificationError: it is empty, too long, or has quotes, backslashes or characters that
            are not printable.
    """
    if (
        not 0 < len(name) <= MAX_TAG
        or not name.isprintable()
        or name != name.strip()
        or any(character in name for character in '"\\=')
    ):
        raise SpecificationError(
            f"{name[:MAX_TAG]!r} cannot name a tag: take 1 to {MAX_TAG} printable characters"
            " without quotes, backslashes and '='"
        )


def _checked(text: str, subject: str, longest: int) -> str:
    """Return a text that both databases can keep.

    Raises:
        SpecificationError: it is empty, too long, or has a NUL character or a lone surrogate.
    """
    try:
        check_scalar(text)
    except ValueError as error:
        raise SpecificationError(f"{subject} cannot be kept: {error}") from error
    if not text:
        raise SpecificationError(f"{subject} is empty")
    if len(text) > longest:
        raise SpecificationError(
            f"{subject} has {len(text):,} characters, and {longest:,} at most are kept"
        )
    return text

"""Errors that another process has reported by name."""

from mlops_assets.errors import DataProblems, MlopsError, NotFound, TrainerError, named_error


def test_an_error_of_another_process_is_raised_again_by_its_name() -> None:
    assert isinstance(named_error("NotFound", "no version v9"), NotFound)
    # made from a list of problems, not from a message
    listed = named_error(DataProblems.__name__, "2 problems", TrainerError)
    assert (type(listed), str(listed)) == (TrainerError, "2 problems")
    assert type(named_error(DataProblems.__name__, "2 problems")) is MlopsError


def test_what_is_not_an_error_of_ours_is_none() -> None:
    assert [named_error(name, "x") for name in (None, "", "Stopped", "Sequence", "OSError")] == [
        None
    ] * 5

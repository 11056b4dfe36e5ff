from mlops_assets.training.request import run_identifier


def test_run_ids_repeat_within_one_orchestrated_run_only() -> None:
    assert run_identifier("a", "m", "v1") == run_identifier("a", "m", "v1")
    others = {
        run_identifier(*key)
        for key in [("a", "m", "v1"), ("b", "m", "v1"), ("a", "n", "v1"), ("a", "m", "v2")]
    }
    assert len(others | {run_identifier(None, "m", "v1"), run_identifier(None, "m", "v1")}) == 6

from mlops_assets.training.request import TrainingRequest, run_identifier
from mlops_assets_tests.training.example_trainers import model_specification, training_request


def test_run_ids_repeat_within_one_orchestrated_run_only() -> None:
    assert run_identifier("a", "m", "v1") == run_identifier("a", "m", "v1")
    others = {
        run_identifier(*key)
        for key in [("a", "m", "v1"), ("b", "m", "v1"), ("a", "n", "v1"), ("a", "m", "v2")]
    }
    assert len(others | {run_identifier(None, "m", "v1"), run_identifier(None, "m", "v1")}) == 6


def test_a_worker_reads_the_run_id_that_its_request_was_sent_with() -> None:
    sent = training_request(model_specification(), "v1", {"depth": 2})
    read = TrainingRequest.model_validate_json(sent.model_dump_json())
    assert read == sent
    assert training_request(model_specification(), "v1").run_id != sent.run_id
    step = training_request(model_specification(), "v1", orchestration_run="a")
    assert step.run_id == run_identifier("a", step.specification.name, "v1")

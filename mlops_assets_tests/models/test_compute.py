import pytest
from pydantic import ValidationError

from mlops_assets.models.compute import Compute


@pytest.mark.parametrize(
    ("declared", "place", "message"),
    [
        ({"shared_memory": "8G"}, "shared_memory", "pattern"),
        ({"memory": "4Gi", "shared_memory": "5Gi"}, "shared_memory", "counts as memory"),
        ({"ephemeral_storage": "-1Gi"}, "ephemeral_storage", "pattern"),
        ({"gpu_type": "A100"}, "gpu_type", "needs gpus"),
        ({"gpus": 1, "gpu_type": "A 100"}, "gpu_type", "value of a label"),
        ({"node_selector": {"a/b/c": "d"}}, "node_selector.a/b/c.[key]", "key of a label"),
        ({"node_selector": {"zone": "x" * 64}}, "node_selector.zone", "value of a label"),
        ({"node_selector": {"zone": True}}, "node_selector.zone", "valid string"),
        ({"tolerations": [{"key": "spot"}]}, "tolerations.0.value", "operator: Exists"),
        (
            {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
            "tolerations.0.value",
            "remove one of the two",
        ),
        (
            {"tolerations": [{"key": "a", "value": "b", "seconds": 5}]},
            "tolerations.0.seconds",
            "NoExecute",
        ),
        ({"tolerations": [{"operator": "Exists"}]}, "tolerations.0.key", "required"),
        ({"tolerations": [{"key": "a", "vaule": "b"}]}, "tolerations.0.vaule", "not permitted"),
        ({"priority_class": "Training"}, "priority_class", "name on Kubernetes"),
        ({"time_limit": 60, "deadline": 60}, "deadline", "longer than time_limit"),
    ],
)
def test_what_kubernetes_would_refuse_is_refused_with_its_place(
    declared: dict[str, object], place: str, message: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        Compute.model_validate(declared)
    errors = {".".join(map(str, e["loc"])): e["msg"] for e in refused.value.errors()}
    assert message in errors[place]


def test_numbers_of_yaml_are_values_of_labels() -> None:
    declared = Compute.model_validate({"node_selector": {"disks": 2}, "gpus": 1, "gpu_type": 4090})
    assert (declared.node_selector, declared.gpu_type) == ({"disks": "2"}, "4090")


def test_what_is_not_given_is_not_written() -> None:
    assert set(Compute().model_dump()) == {"cpus", "memory", "gpus", "processes", "time_limit"}

"""Checkpoints: all that a trainer keeps returns bit for bit, random states too, without pickle."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mlops_assets.errors import TrainerError
from mlops_assets.store import Store
from mlops_assets.training.checkpoints import Checkpoints


def checkpoints(store: Store, folder: Path, resumed: bool = True) -> Checkpoints:
    return Checkpoints(store.workspace, store.registry, "a-run", folder, resumed)


def back(store: Store, folder: Path, state: dict[str, Any]) -> dict[str, Any]:
    checkpoints(store, folder).save(state, step=0, seq=0)
    found = checkpoints(store, folder).restore()
    assert found is not None
    return found.state


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        7,
        2**80,
        -0.1,
        1e-320,
        float("inf"),
        "Größe",
        b"\x00\xff",
        [],
        {},
        (),
        [1, (2, [3, None])],
        {"a": {1: "one", (2, "b"): 2.0, None: False}},
        ["map", []],
        ["tensor", "0"],
    ],
    ids=str,
)
def test_plain_values_come_back_as_they_were(value: Any, store: Store, tmp_path: Path) -> None:
    found = back(store, tmp_path, {"value": value})["value"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.uint16).reshape(2, 3),
        np.array(3.5),
        np.zeros((0, 4)),
        np.array([True, False]),
        np.array(["a", "bc"]),
        np.array([1 + 2j]),
        np.arange(12).reshape(3, 4)[:, ::2],
    ],
    ids=lambda array: str(array.dtype) + str(array.shape),
)
def test_arrays_come_back_as_they_were(array: Any, store: Store, tmp_path: Path) -> None:
    found = back(store, tmp_path, {"value": array})["value"]
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.bool, torch.uint8]
)
def test_tensors_come_back_as_they_were(dtype: torch.dtype, store: Store, tmp_path: Path) -> None:
    whole = torch.arange(8).reshape(2, 4).to(dtype)
    found = back(store, tmp_path, {"turned": whole.T, "shared": [whole, whole]})
    assert torch.equal(found["turned"], whole.T) and torch.equal(found["shared"][1], whole)
    assert found["turned"].dtype == dtype


def test_optimizers_and_schedules_go_on_where_they_were(store: Store, tmp_path: Path) -> None:
    def made() -> tuple[Any, Any, Any]:
        net = torch.nn.Linear(3, 2)
        optimizer = torch.optim.AdamW(net.parameters(), 0.1)
        return net, optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=9)

    def advance(net: Any, optimizer: Any, schedule: Any) -> None:
        net(torch.ones(4, 3)).sum().backward()
        optimizer.step()
        schedule.step()

    parts = made()
    advance(*parts)
    state = {str(number): part.state_dict() for number, part in enumerate(parts)}
    found, others = back(store, tmp_path, state), made()
    for number, part in enumerate(others):
        part.load_state_dict(found[str(number)])
    for group in (parts, others):
        group[1].zero_grad()
        advance(*group)
    assert torch.equal(parts[0].weight, others[0].weight)


def test_random_states_go_on_where_they_were(store: Store, tmp_path: Path) -> None:
    def drawn() -> tuple[Any, ...]:
        return (
            random.random(),
            random.gauss(0, 1),
            np.random.random(),
            float(torch.rand(())),
            np.random.normal(),
        )

    random.gauss(0, 1)  # Python keeps the second of a pair
    np.random.normal()
    checkpoints(store, tmp_path).save({}, 0, 0)
    expected = drawn()
    drawn()
    checkpoints(store, tmp_path).restore()
    assert drawn() == expected


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, torch.nn.Linear(1, 1), np.array([object()])], ids=type
)
def test_other_things_are_refused_with_their_place(
    value: Any, store: Store, tmp_path: Path
) -> None:
    with pytest.raises(TrainerError, match=r"checkpoint\.nets\[1\] is a "):
        checkpoints(store, tmp_path).save({"nets": [None, value]}, 0, 0)
    assert store.registry.checkpoints("a-run") == []
    assert list(store.workspace.list("runs")) == []


def test_the_last_two_are_kept_and_a_damaged_one_is_passed_over(
    store: Store, tmp_path: Path
) -> None:
    for step in range(4):
        checkpoints(store, tmp_path).save({"step": step}, step, 0)
    kept = [f"runs/a-run/checkpoints/{step}.safetensors" for step in (2, 3)]
    assert sorted(store.workspace.list("runs")) == kept
    assert [row.step for row in store.registry.checkpoints("a-run")] == [3, 2]
    assert not list(tmp_path.glob(".checkpoint*"))
    store.workspace.put(kept[1], b"other bytes")
    found = checkpoints(store, tmp_path).restore()
    assert found is not None and (found.step, found.state) == (2, {"step": 2})
    store.workspace.remove(kept[0])
    assert checkpoints(store, tmp_path).restore() is None


def test_a_first_attempt_has_nothing_to_go_on_from(store: Store, tmp_path: Path) -> None:
    checkpoints(store, tmp_path).save({}, 0, 0)
    assert checkpoints(store, tmp_path, resumed=False).restore() is None

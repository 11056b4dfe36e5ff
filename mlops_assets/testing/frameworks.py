"""The contract of a framework adapter: a safe native form, an equal reload, ONNX of any batch size.

ONNX is imported only where a test uses it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_assets.errors import ExportError
from mlops_assets.models.specification import Parity

if TYPE_CHECKING:
    from mlops_assets.models.frameworks import Framework


@dataclass(frozen=True)
class ModelCase:
    """A model of the framework, and the facts that the suite compares with.

    Attributes:
        adapter: the framework adapter.
        build: `build()` returns a trained model and float32 samples of shape (n, *sample_shape), n
            of 20 or more; equal calls give equal models.
        files: names of the files of the native form.
        task: `classification`, `regression` or `semantic-segmentation`.
        sample_shape: shape of one sample; bands before rows and columns.
        outputs: names of the outputs: `label`, `scores`, `value`.
        classes: number of classes of the scores of a segmentation.
        describes_reloaded: whether a reloaded model is described as the one that was saved.
    """

    adapter: Framework
    build: Callable[[], tuple[object, NDArray[np.float32]]]
    files: frozenset[str]
    task: str = "classification"
    sample_shape: tuple[int, ...] = (6,)
    outputs: frozenset[str] = frozenset({"scores"})
    classes: int = 3
    describes_reloaded: bool = True


@dataclass(frozen=True)
class SavedModel:
    """A trained model with its native folder, the reloaded model, and its ONNX file."""

    case: ModelCase
    model: object
    X: NDArray[np.float32]
    outputs: dict[str, NDArray[np.number]]
    native: Path
    reloaded: object
    onnx: Path


class FrameworkContract:
    """The guarantees of a framework adapter that the platform relies on.

    Subclass it, and override the fixture `case`.
    """

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls) -> ModelCase:
        """Return a model of the framework, and the facts about it."""
        pytest.fail("override the fixture 'case' of scope class: return a ModelCase")

    @pytest.fixture(scope="class")
    @classmethod
    def saved(cls, case: ModelCase, tmp_path_factory: pytest.TempPathFactory) -> SavedModel:
        """Return the model of the case, saved, reloaded and exported once."""
        model, X = case.build()
        native = tmp_path_factory.mktemp("native")
        path = tmp_path_factory.mktemp("onnx") / "model.onnx"
        case.adapter.save(model, native)
        reloaded = case.adapter.load(native)
        case.adapter.export(reloaded, case.sample_shape, case.task, path)
        outputs = case.adapter.predict(model, X, case.task)
        return SavedModel(case, model, X, outputs, native, reloaded, path)

    def test_the_native_form_is_safe_and_gives_the_model_back(
        self, saved: SavedModel, tmp_path: Path
    ) -> None:
        case = saved.case

        # no pickle, and equal models are equal bytes
        case.adapter.save(case.build()[0], tmp_path)
        native = {path.name: path.read_bytes() for path in saved.native.iterdir()}
        assert native.keys() == case.files
        assert [name for name, content in native.items() if b"pickle" in content.lower()] == []
        assert [name for name, content in native.items() if content.startswith(b"\x80")] == []
        assert [
            name for name, content in native.items() if (tmp_path / name).read_bytes() != content
        ] == []

        # the reloaded model predicts exactly the same
        again = case.adapter.predict(saved.reloaded, saved.X, case.task)
        assert again.keys() == saved.outputs.keys() == case.outputs
        for name, expected in saved.outputs.items():
            np.testing.assert_array_equal(again[name], expected, err_msg=name)

        described = case.adapter.describe(saved.model)
        if case.describes_reloaded:
            assert described == case.adapter.describe(saved.reloaded)
        assert described.architecture
        assert described.parameters is None or described.parameters > 0

    def test_the_onnx_file_keeps_the_contract_and_predicts_what_the_model_predicts(
        self, saved: SavedModel, subtests: pytest.Subtests
    ) -> None:
        import onnx

        from mlops_assets.models.export.parity import compare_outputs
        from mlops_assets.models.onnx.graph import facts, kind_of_scores
        from mlops_assets.models.onnx.session import OnnxModel

        case = saved.case
        # one file with a free batch axis and our names
        assert [path.name for path in saved.onnx.parent.iterdir()] == ["model.onnx"]
        proto = onnx.load(saved.onnx, load_external_data=False)
        assert not any(
            tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in proto.graph.initializer
        )
        (entry,) = proto.graph.input
        batch, *rest = entry.type.tensor_type.shape.dim
        assert (entry.name, entry.type.tensor_type.elem_type) == ("input", onnx.TensorProto.FLOAT)
        assert batch.dim_param == "batch"
        assert tuple(dim.dim_value for dim in rest) == case.sample_shape
        assert {output.name for output in proto.graph.output} == case.outputs
        batch_axes = {
            output.type.tensor_type.shape.dim[0].dim_param for output in proto.graph.output
        }
        assert batch_axes == {"batch"}

        # it records its format and its producer
        opsets = {entry.domain or "ai.onnx": entry.version for entry in proto.opset_import}
        assert proto.ir_version >= 4
        assert opsets["ai.onnx"] >= 8
        assert any(character.isdigit() for character in str(facts(proto)["producer"]))

        # the kind of its scores follows from the graph
        if "scores" in saved.outputs:
            sums = saved.outputs["scores"].sum(axis=1)
            kind = "probabilities" if np.allclose(sums, 1, atol=1e-3) else "logits"
            assert kind_of_scores(proto, case.adapter.name) == kind

        model = OnnxModel(saved.onnx)
        for size in (1, 7, 1000):
            with subtests.test(batch=size):
                predicted = model.predict(saved.X, size)
                assert predicted.keys() == saved.outputs.keys()
                for name, expected in saved.outputs.items():
                    assert predicted[name].shape == expected.shape, name
                    np.testing.assert_allclose(
                        predicted[name], expected, rtol=1e-4, atol=1e-4, err_msg=name
                    )
        native = case.adapter.predict(saved.reloaded, saved.X, case.task)
        report = compare_outputs(native, model, saved.X, case.task, Parity())
        assert report.passed, report.description

        if saved.outputs.keys() >= {"label", "scores"}:
            np.testing.assert_array_equal(
                saved.outputs["scores"].argmax(axis=1), saved.outputs["label"]
            )
        if case.task == "semantic-segmentation":
            expected_shape = (len(saved.X), case.classes, *case.sample_shape[1:])
            assert saved.outputs["scores"].shape == expected_shape

    def test_damaged_files_are_refused(
        self, case: ModelCase, tmp_path: Path, subtests: pytest.Subtests
    ) -> None:
        case.adapter.save(case.build()[0], tmp_path)
        file = max(tmp_path.iterdir(), key=lambda path: path.stat().st_size)
        content = file.read_bytes()
        for damage, left in (
            ("cut", content[: len(content) // 2]),
            ("emptied", b""),
            ("another file", b"garbage"),
        ):
            file.write_bytes(left)
            with subtests.test(damage=damage), pytest.raises(ExportError):
                case.adapter.load(tmp_path)
        file.unlink()
        with subtests.test(damage="removed"), pytest.raises(ExportError):
            case.adapter.load(tmp_path)
        file.write_bytes(content)
        # nothing but the damage was refused
        case.adapter.load(tmp_path)

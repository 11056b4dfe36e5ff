"""One contract for all framework adapters.

Safe native form, equal reload, ONNX of any batch size, parity.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from mlops_assets.errors import ExportError, MissingExtra
from mlops_assets.models.export.parity import compare_outputs
from mlops_assets.models.frameworks import Framework, framework_named, framework_of
from mlops_assets.models.frameworks.architectures import THIS_PROCESS, Trust
from mlops_assets.models.onnx.graph import facts, kind_of_scores
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.models.specification import Parity
from mlops_assets_tests.models.frameworks.models import (
    CASES,
    FRAMEWORKS,
    Case,
    from_models,
    marks_of,
)

NATIVE = {
    "pytorch": {"architecture.json", "model.safetensors"},
    "scikit-learn": {"model.skops"},
    "xgboost": {"model.ubj", "sha256.txt"},
    "lightgbm": {"model.txt", "sha256.txt"},
    "keras": {"model.keras", "classes.json"},
    "flax": {"architecture.json", "model.safetensors"},
}

each_framework = pytest.mark.parametrize(
    "framework", [pytest.param(name, marks=marks_of(name), id=name) for name in FRAMEWORKS]
)


@dataclass(frozen=True)
class Made:
    """A trained model with its native folder, what came back from there, and its ONNX file."""

    case: Case
    framework: Framework
    model: Any
    X: NDArray[np.float32]
    outputs: dict[str, NDArray[Any]]
    native: Path
    reloaded: Any
    onnx: Path


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            case,
            marks=marks_of(case.framework),
            id=f"{case.framework}-{case.builder}-{len(case.shape)}d",
        )
        for case in CASES
    ],
)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    case: Case = request.param
    model, X = case.build()
    framework = framework_of(model, "a:trainer")
    native, path = tmp_path_factory.mktemp("native"), tmp_path_factory.mktemp("onnx") / "model.onnx"
    framework.save(model, native)
    reloaded = framework.load(native)
    framework.export(reloaded, case.shape, case.task, path)
    return Made(
        case, framework, model, X, framework.predict(model, X, case.task), native, reloaded, path
    )


def test_the_native_form_is_safe_and_gives_the_model_back(made: Made, tmp_path: Path) -> None:
    case, framework = made.case, made.framework
    # the returned model decides the adapter
    assert framework.name == case.framework
    assert type(framework_named(framework.name)) is type(framework)

    # no pickle, and equal models are equal bytes
    framework.save(case.build()[0], tmp_path)
    native = {path.name: path.read_bytes() for path in made.native.iterdir()}
    assert native.keys() == NATIVE[framework.name]
    assert [name for name, content in native.items() if b"pickle" in content.lower()] == []
    assert [name for name, content in native.items() if content.startswith(b"\x80")] == []
    assert [
        name for name, content in native.items() if (tmp_path / name).read_bytes() != content
    ] == []

    # the model that comes back gives exactly the same
    again = framework.predict(made.reloaded, made.X, case.task)
    assert again.keys() == made.outputs.keys() == case.outputs
    for name, expected in made.outputs.items():
        np.testing.assert_array_equal(again[name], expected, err_msg=name)

    described = framework.describe(made.model)
    assert described == framework.describe(made.reloaded) or framework.name in (
        "xgboost",
        "lightgbm",
    )
    assert described.architecture
    assert described.parameters is None or described.parameters > 0


def test_the_onnx_file_keeps_the_contract_and_gives_what_the_model_gives(
    made: Made, subtests: pytest.Subtests
) -> None:
    # one file with a free batch axis and our names
    assert [path.name for path in made.onnx.parent.iterdir()] == ["model.onnx"]
    proto = onnx.load(made.onnx, load_external_data=False)
    assert not any(
        tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in proto.graph.initializer
    )
    (entry,) = proto.graph.input
    batch, *rest = entry.type.tensor_type.shape.dim
    assert (entry.name, entry.type.tensor_type.elem_type) == ("input", onnx.TensorProto.FLOAT)
    assert batch.dim_param == "batch"
    assert tuple(dim.dim_value for dim in rest) == made.case.shape
    assert {output.name for output in proto.graph.output} == made.case.outputs
    assert {output.type.tensor_type.shape.dim[0].dim_param for output in proto.graph.output} == {
        "batch"
    }

    # it records what it is and what wrote it
    found = facts(proto)
    assert found["ir_version"] >= 4
    assert found["opset"]["ai.onnx"] >= 8
    assert any(character.isdigit() for character in found["producer"])

    # what its scores are is known without looking at them
    if "scores" in made.outputs:
        sums = made.outputs["scores"].sum(axis=1)
        kind = "probabilities" if np.allclose(sums, 1, atol=1e-3) else "logits"
        assert kind_of_scores(proto, made.framework.name) == kind

    model = OnnxModel(made.onnx)
    for size in (1, 7, 1000):
        with subtests.test(batch=size):
            predicted = model.predict(made.X, size)
            assert predicted.keys() == made.outputs.keys()
            for name, expected in made.outputs.items():
                assert predicted[name].shape == expected.shape, name
                np.testing.assert_allclose(
                    predicted[name], expected, rtol=1e-4, atol=1e-4, err_msg=name
                )
    native = made.framework.predict(made.reloaded, made.X, made.case.task)
    report = compare_outputs(native, model, made.X, made.case.task, Parity())
    assert report.passed, report.description

    if made.outputs.keys() >= {"label", "scores"}:
        np.testing.assert_array_equal(made.outputs["scores"].argmax(axis=1), made.outputs["label"])
    if made.case.task == "semantic-segmentation":
        assert made.outputs["scores"].shape == (len(made.X), 3, *made.case.shape[1:])


@each_framework
def test_what_is_not_safe_or_onnx_cannot_express_is_refused(framework: str, tmp_path: Path) -> None:
    adapter = framework_named(framework)
    model, shape, message = from_models(framework, "inexpressible")()
    with pytest.raises(ExportError, match=message):
        adapter.export(model, shape, "classification", tmp_path / "model.onnx")
    unsafe, message = from_models(framework, "unsafe")()
    native = tmp_path / "native"
    native.mkdir()
    with pytest.raises(ExportError, match=message):
        adapter.save(unsafe, native)


@each_framework
def test_damaged_files_are_refused(
    framework: str, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    case = next(case for case in CASES if case.framework == framework)
    adapter = framework_named(framework)
    adapter.save(case.build()[0], tmp_path)
    file = max(tmp_path.iterdir(), key=lambda path: path.stat().st_size)
    content = file.read_bytes()
    for damage, left in (
        ("cut", content[: len(content) // 2]),
        ("emptied", b""),
        ("another file", b"garbage"),
    ):
        file.write_bytes(left)
        with subtests.test(damage=damage), pytest.raises(ExportError):
            adapter.load(tmp_path)
    file.unlink()
    with subtests.test(damage="removed"), pytest.raises(ExportError):
        adapter.load(tmp_path)
    file.write_bytes(content)
    adapter.load(tmp_path)  # nothing but the damage was refused


READ_ELSEWHERE = """
import sys
from pathlib import Path
import numpy as np
from mlops_assets.models.frameworks import framework_named
from mlops_assets.models.frameworks.architectures import Trust
framework, folder = framework_named(sys.argv[1]), Path(sys.argv[2])
model = framework.load(folder, Trust(package="mlops_assets_tests"))
outputs = framework.predict(model, np.load(folder.parent / "X.npy"), "classification")
np.savez(folder.parent / "outputs.npz", **outputs)
"""


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", ["xgboost", "keras"])
def test_another_process_reads_the_same_model(framework: str, tmp_path: Path) -> None:
    builder = {"xgboost": "booster", "keras": "own_layer"}[framework]
    case = next(case for case in CASES if (case.framework, case.builder) == (framework, builder))
    (model, X), adapter, folder = case.build(), framework_named(framework), tmp_path / "native"
    folder.mkdir()
    adapter.save(model, folder)
    np.save(tmp_path / "X.npy", X)
    root = Path(__file__).parents[3]
    subprocess.run(
        [sys.executable, "-c", READ_ELSEWHERE, framework, str(folder)], check=True, cwd=root
    )
    with np.load(tmp_path / "outputs.npz") as found:
        np.testing.assert_array_equal(
            found["scores"], adapter.predict(model, X, "classification")["scores"]
        )


@pytest.mark.frameworks
def test_a_missing_framework_names_its_extra(subtests: pytest.Subtests) -> None:
    for framework, package, extra in (
        ("xgboost", "xgboost", "xgboost"),
        ("xgboost", "onnxmltools", "xgboost"),
        ("lightgbm", "lightgbm", "lightgbm"),
        ("keras", "keras", "tensorflow"),
        ("flax", "flax", "jax"),
        ("flax", "jax2onnx", "jax"),
    ):
        message = rf"a model of {framework} needs {package}, .*'mlops-assets\[{extra}\]'"
        with (
            subtests.test(framework=framework, package=package),
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setitem(sys.modules, package, None)
            patch.delitem(sys.modules, f"mlops_assets.models.frameworks.{framework}", raising=False)
            with pytest.raises(MissingExtra, match=message):
                framework_named(framework)


def test_no_framework_is_imported_before_a_model_of_it_is_there() -> None:
    code = (
        "import sys, mlops_assets.definitions, mlops_assets.models.frameworks\nprint([name for name"
        " in ('keras', 'tensorflow', 'xgboost', 'lightgbm', 'jax', 'flax') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


NAMES = [
    "evil:Evil",
    "evil",
    "evil:",
    ":Evil",
    "evil.Evil",
    "evil:Evil:x",
    "evil:Evil.",
    ".evil:Evil",
    "evil:Evil\n",
    "workspace.cache.external.ID.native.d.evil:Evil",
    "workspace.cache.external.ID.native.evil",
    "ev\u0131l:Evil",
    "torch.nn.evil:Evil",
    "torch.nn.modules.evil:Evil",
    "torch.nn.modules.module:torch.os.system",
    "keras.evil:Evil",
    "flax.nnx.evil:Evil",
    "mlops_assets.training.trainers.evil:Evil",
    "os:system",
    "builtins:eval",
    "subprocess:Popen",
    "torch:load",
    "torch.nn.parallel:DistributedDataParallel",
    "mlops_assets_tests.models.frameworks.evil:Evil",
    "\x00",
    "a" * 100_000,
    3,
    None,
    True,
    [],
    ["evil:Evil"],
    {},
    {"class": "evil:Evil", "arguments": {}},
]


@pytest.mark.parametrize(
    ("framework", "builder"),
    [
        pytest.param(framework, builder, marks=marks_of(framework))
        for framework, builder in (
            ("pytorch", "module_as_argument"),
            ("keras", "own_layer"),
            ("flax", "mlp"),
        )
    ],
)
@pytest.mark.parametrize(
    "trust", [Trust(imported=False), THIS_PROCESS], ids=["of others", "of this process"]
)
def test_no_name_of_a_class_in_an_artefact_runs_code(
    framework: str,
    builder: str,
    trust: Trust,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    subtests: pytest.Subtests,
) -> None:
    case = next(case for case in CASES if (case.framework, case.builder) == (framework, builder))
    model, adapter, native = case.build()[0], framework_named(framework), tmp_path / "native"
    native.mkdir()
    adapter.save(model, native)
    ran = tmp_path / "ran"
    for folder in (
        "",
        "workspace/cache/external/ID/native",
        "workspace/cache/external/ID/native.d",
    ):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass Evil: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    file = native / ("classes.json" if framework == "keras" else "architecture.json")
    document = json.loads(file.read_text())
    for name in NAMES:
        changed = (
            dict.fromkeys(document, name) if framework == "keras" else {**document, "class": name}
        )
        file.write_text(json.dumps(changed))
        with subtests.test(name=str(name)[:60]):
            with pytest.raises(ExportError):
                adapter.load(native, trust)
            assert not ran.exists() and "evil" not in sys.modules


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("framework", "builder"),
    [("pytorch", "module_as_argument"), ("keras", "own_layer"), ("flax", "mlp")],
)
def test_a_class_that_the_project_names_is_rebuilt_and_no_other(
    framework: str, builder: str, tmp_path: Path
) -> None:
    case = next(case for case in CASES if (case.framework, case.builder) == (framework, builder))
    model, adapter = case.build()[0], framework_named(framework)
    adapter.save(model, tmp_path)
    file = tmp_path / ("classes.json" if framework == "keras" else "architecture.json")
    own = set(re.findall(r"mlops_assets_tests[\w.]+:\w+", file.read_text()))
    with pytest.raises(ExportError, match="architectures: "):
        adapter.load(tmp_path, Trust(imported=False))
    adapter.load(tmp_path, Trust(own, imported=False))


@pytest.mark.parametrize(
    ("framework", "builder", "file"),
    [
        ("scikit-learn", "logistic", "model.skops"),
        pytest.param("keras", "sequential", "model.keras", marks=pytest.mark.frameworks),
    ],
)
def test_an_archive_that_holds_very_much_is_not_unpacked(
    framework: str, builder: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = next(case for case in CASES if (case.framework, case.builder) == (framework, builder))
    adapter = framework_named(framework)
    adapter.save(case.build()[0], tmp_path)
    monkeypatch.setattr("mlops_assets.models.frameworks.archives.ALWAYS_ALLOWED", 1 << 20)
    adapter.load(tmp_path)
    with zipfile.ZipFile(tmp_path / file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    nested = io.BytesIO()
    with zipfile.ZipFile(nested, "w", zipfile.ZIP_DEFLATED) as inner:
        inner.writestr("data.npy", bytes(4 << 20))
    for added in ({"0.bin": bytes(4 << 20)}, {"0.npz": nested.getvalue()}):
        with zipfile.ZipFile(tmp_path / file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in (members | added).items():
                archive.writestr(name, content)
        with pytest.raises(ExportError, match=r"would unpack to|which is not of a model"):
            adapter.load(tmp_path)

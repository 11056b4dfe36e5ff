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
from pathlib import Path

import numpy as np
import pytest

from mlops_assets.errors import ExportError, MissingExtra
from mlops_assets.models.frameworks import framework_named, framework_of
from mlops_assets.models.frameworks.architectures import THIS_PROCESS, Trust
from mlops_assets.testing.frameworks import FrameworkContract, ModelCase, SavedModel
from mlops_assets_tests.models.frameworks.models import (
    CASES,
    FRAMEWORKS,
    Case,
    from_models,
    marks_of,
)

NATIVE = {
    "pytorch": frozenset({"architecture.json", "model.safetensors"}),
    "scikit-learn": frozenset({"model.skops"}),
    "xgboost": frozenset({"model.ubj", "sha256.txt"}),
    "lightgbm": frozenset({"model.txt", "sha256.txt"}),
    "keras": frozenset({"model.keras", "classes.json"}),
    "flax": frozenset({"architecture.json", "model.safetensors"}),
}

each_framework = pytest.mark.parametrize(
    "framework", [pytest.param(name, marks=marks_of(name), id=name) for name in FRAMEWORKS]
)


class TestFramework(FrameworkContract):
    @pytest.fixture(
        scope="class",
        params=[
            pytest.param(
                case,
                marks=marks_of(case.framework),
                id=f"{case.framework}-{case.builder}-{len(case.shape)}d",
            )
            for case in CASES
        ],
    )
    @classmethod
    def case(cls, request: pytest.FixtureRequest) -> ModelCase:
        case: Case = request.param
        return ModelCase(
            framework_named(case.framework),
            case.build,
            NATIVE[case.framework],
            case.task,
            case.shape,
            case.outputs,
            describes_reloaded=case.framework not in ("xgboost", "lightgbm"),
        )

    def test_the_class_of_a_model_decides_its_adapter(self, saved: SavedModel) -> None:
        adapter = framework_of(saved.model, "a:trainer")
        assert type(adapter) is type(saved.case.adapter)
        assert adapter.name == saved.case.adapter.name


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


PREDICT = """
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
        [sys.executable, "-c", PREDICT, framework, str(folder)],
        check=True,
        cwd=root,
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

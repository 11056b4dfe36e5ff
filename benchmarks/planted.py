"""Faults that `mutations` plants in the core.

Each is one that people make, and leaves the product running.

Only data. The exact text before must be in its file once; whoever changes the file adapts the
mutation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """One fault.

    Attributes:
        name: by which it is chosen.
        fault: what breaks, in words.
        file: file of the checkout that it is planted in.
        before: text as it is; exactly once in the file.
        after: text with the fault.
        tests: files or folders below the tests that cover the file.
        caught: whether they are known to catch it; False where it is known to survive, a hole that
            is not closed yet.
    """

    name: str
    fault: str
    file: str
    before: str
    after: str
    tests: Sequence[str]
    caught: bool = True


PLANTED = [
    Mutation(
        name="block-buffer",
        fault=(
            "the buffer around training blocks is one pixel short where it ends on the edge of a"
            " block"
        ),
        file="mlops_assets/datasets/splits/spatial_blocks.py",
        before="last = np.floor(self.high + self.reach + _ROUNDING)",
        after="last = np.floor(self.high + self.reach - _ROUNDING)",
        tests=["datasets/splits/test_spatial_blocks.py"],
    ),
    Mutation(
        name="split-seed",
        fault="the seed of a split is ignored",
        file="mlops_assets/datasets/splits/assign.py",
        before='seed, sha256 = f"{split.seed}\\0".encode(), hashlib.sha256',
        after='seed, sha256 = b"0\\0", hashlib.sha256',
        tests=["datasets/splits/test_assign.py"],
    ),
    Mutation(
        name="digest-group",
        fault="the digest of a data version ignores the groups of samples",
        file="mlops_assets/datasets/versions/digest.py",
        before='["path", "row", "column", "label", "group", "split"]',
        after='["path", "row", "column", "label", "split"]',
        tests=["datasets/versions/test_digest.py", "datasets/commit/test_commit.py"],
    ),
    Mutation(
        name="training-statistics",
        fault="the statistics of scaling are of test samples",
        file="mlops_assets/datasets/loading/training_data.py",
        before='found = self.source("train")',
        after='found = self.source("test")',
        tests=["datasets/loading/test_scaling.py", "datasets/loading/test_training_data.py"],
    ),
    Mutation(
        name="nodata-of-some",
        fault="nodata counts as data in a block of samples of which only some have a nodata value",
        file="mlops_assets/datasets/quality/content/values.py",
        before="if not np.isnan(nodata).all():",
        after="if not np.isnan(nodata).any():",
        tests=["datasets/quality/content/test_values.py", "datasets/quality/content/test_scan.py"],
    ),
    Mutation(
        name="class-order",
        fault=(
            "labels of windows get indices in the order of their values, and not as the classes are"
            " declared"
        ),
        file="mlops_assets/datasets/versions/decoded_cache.py",
        before="order[nearest], -1)",
        after="nearest, -1)",
        tests=["datasets/versions/test_decoded_cache.py", "datasets/loading/test_training_data.py"],
    ),
    Mutation(
        name="path-traversal",
        fault="a path with .. is accepted, and so a recall writes outside its folder",
        file="mlops_assets/datasets/sources/base.py",
        before='path.startswith("/") or ".." in parts or',
        after='path.startswith("/") or',
        tests=["datasets/sources/test_folder.py", "datasets/recall/test_recall.py"],
    ),
    Mutation(
        name="recall-same-size",
        fault="a recall keeps a file with other bytes if it has the right size",
        file="mlops_assets/datasets/recall/destinations.py",
        before='return "same" if same else "different"',
        after='return "same" if same or not self._copy else "different"',
        tests=["datasets/recall/test_recall.py"],
    ),
    Mutation(
        name="strip-seams",
        fault="patches at the upper seam of a strip see mirrored pixels and not their neighbours",
        file="mlops_assets/datasets/io/rasters.py",
        before="first = max(top - half, 0)",
        after="first = top",
        tests=["prediction/test_predict.py", "datasets/readers/scenes/test_scenes.py"],
    ),
    Mutation(
        name="truncated-object",
        fault="an object that was only partly written counts as stored",
        file="mlops_assets/storage/workspace.py",
        before='return os.stat(f"{self._root}/{key}").st_size == size',
        after='return os.stat(f"{self._root}/{key}").st_size <= size',
        tests=["storage/test_workspace.py", "datasets/commit/test_ingest.py"],
    ),
    Mutation(
        name="published-by-size",
        fault="the checksum of a published file is not compared, only its size",
        file="mlops_assets/registry/files/verified_read.py",
        before="return content if sha256_of(content) == recorded.sha256 else None",
        after="return content if len(content) == recorded.size else None",
        tests=[
            "datasets/versions/test_committed_dataset.py",
            "datasets/commit/test_commit_faults.py",
            "runs/test_comparison.py",
        ],
    ),
    Mutation(
        name="not-of-null",
        fault="NOT of a comparison holds for runs that do not have the value",
        file="mlops_assets/registry/search/translate.py",
        before="return not_(self.condition(arguments[0]))",
        after="return not_(func.coalesce(self.condition(arguments[0]), False))",
        tests=["registry/search/test_cql2.py"],
    ),
    Mutation(
        name="resumed-point",
        fault="a resumed run keeps the first point that was logged after the checkpoint",
        file="mlops_assets/registry/runs/runs.py",
        before="Point.seq >= first_seq",
        after="Point.seq > first_seq",
        tests=["registry/test_store.py"],
    ),
    Mutation(
        name="name-prefix",
        fault="a key is only checked at its beginning",
        file="mlops_assets/names.py",
        before='if not _NAME.fullmatch(key) or ".." in key',
        after='if not _NAME.match(key) or ".." in key',
        tests=["test_names.py"],
    ),
    Mutation(
        name="checksum-prefix",
        fault="checksums in STAC records lack the multihash prefix",
        file="mlops_assets/stac/catalog.py",
        before='"file:checksum": f"{MULTIHASH_SHA256}{file.sha256}",',
        after='"file:checksum": file.sha256,',
        tests=["stac/test_datasets.py", "stac/test_models.py"],
    ),
    Mutation(
        name="derived-from",
        fault="the derived_from links of a model lead to its own record and not to its data",
        file="mlops_assets/stac/models.py",
        before="""                "derived_from",
                key,
                record_key(data),
""",
        after="""                "derived_from",
                key,
                record_key(row),
""",
        tests=["stac/test_models.py"],
    ),
    Mutation(
        name="one-gate-is-enough",
        fault="a model version is promoted if it passes any of its gates",
        file="mlops_assets/models/promotion.py",
        before="if not all(outcome.passed for outcome in outcomes):",
        after="if outcomes and not any(outcome.passed for outcome in outcomes):",
        tests=["models/test_promotion.py"],
    ),
    Mutation(
        name="parity-of-first-batch",
        fault="differences from the trained model that only small batches show do not count",
        file="mlops_assets/models/export/parity.py",
        before="if furthest is None or gap.max() > difference:",
        after="if furthest is None:",
        tests=["models/export/test_parity.py"],
    ),
    Mutation(
        name="fixed-batch-axis",
        fault="PyTorch models are exported for one batch size",
        file="mlops_assets/models/frameworks/pytorch.py",
        before='dynamic_shapes=({0: torch.export.Dim("batch")},),',
        after="dynamic_shapes=None,",
        tests=["models/frameworks/test_contract.py", "models/frameworks/test_pytorch.py"],
    ),
    Mutation(
        name="scaling-inside-onnx",
        fault=(
            "the ONNX file divides by 1 where the spread is less, as a guard against division by"
            " zero would"
        ),
        file="mlops_assets/models/onnx/graph.py",
        before='figures("scaling_divisor", scaling.divisor)',
        after='figures("scaling_divisor", np.maximum(scaling.divisor, 1))',
        tests=["models/onnx/test_graph.py", "models/onnx/test_graph_scaling.py"],
    ),
    Mutation(
        name="absent-classes",
        fault="macro F1 is the mean over all classes, also those that do not occur",
        file="mlops_assets/models/evaluation/metrics.py",
        before='"macro_f1": f1[present].mean(),',
        after='"macro_f1": f1.mean(),',
        tests=["models/evaluation/test_metrics.py", "models/evaluation/test_tally.py"],
    ),
    Mutation(
        name="bootstrap-without-groups",
        fault="confidence intervals treat samples of one group as independent",
        file="mlops_assets/models/evaluation/tally.py",
        before="        self._codes = bags(units.codes)\n",
        after="        self._codes = bags(np.arange(len(units.codes)))\n",
        tests=["models/evaluation/test_evaluate.py"],
    ),
    Mutation(
        name="schedule-restarts",
        fault="a resumed training restarts its learning rate schedule",
        file="mlops_assets/training/trainers/torch_loop/loop.py",
        before='        self._schedule.load_state_dict(state["schedule"])\n',
        after="",
        tests=["training/trainers/torch_loop/test_loop.py"],
    ),
    Mutation(
        name="mixed-runs",
        fault=(
            "a later step works on the newest model version of the partition, and not on that of"
            " its own run"
        ),
        file="mlops_assets/models/lifecycle.py",
        before="found = [versions[run.run_id] for run in runs if run.run_id in versions]",
        after="found = list(versions.values()) if runs else []",
        tests=["models/test_lifecycle.py"],
    ),
    Mutation(
        name="numpy-seed",
        fault="the seed of NumPy is not set",
        file="mlops_assets/training/seeds.py",
        before="    np.random.seed(seed % 2**32)\n",
        after="",
        tests=["models/test_lifecycle.py"],
    ),
    Mutation(
        name="time-limit",
        fault="the time limit counts from the last check of the memory and is never reached",
        file="mlops_assets/training/process/supervisor.py",
        before="now - self._started > compute.time_limit",
        after="now - self._measured > compute.time_limit",
        tests=["training/process/test_supervisor.py"],
    ),
    Mutation(
        name="orphans",
        fault="processes that a stopped trainer had started are left running",
        file="mlops_assets/training/process/child_process.py",
        before="for member in {*members, *family(child.pid)}:",
        after="for member in family(child.pid):",
        tests=["training/process/test_supervisor.py"],
    ),
    Mutation(
        name="launched-twice",
        fault="the sensor asks for a data version again while the run it asked for has not begun",
        file="mlops_assets/components/sensors/version_requests.py",
        before="known = settled.union(runs)",
        after="known = runs.keys()",
        tests=["components/sensors/test_new_data.py"],
    ),
    Mutation(
        name="any-token",
        fault="the API accepts any token in place of the shared one",
        file="mlops_assets/identity/bearer.py",
        before="hmac.compare_digest(token.encode(), self._shared.encode())",
        after="hmac.compare_digest(token.encode(), token.encode())",
        tests=["hub/external/test_routes.py"],
    ),
    Mutation(
        name="applicability-groups",
        fault="the threshold of applicability compares training samples within their groups",
        file="mlops_assets/models/applicability/fit.py",
        before="codes = np.arange(len(points)) if alone else training.codes",
        after="codes = np.arange(len(points))",
        tests=["models/applicability/test_index.py"],
    ),
    Mutation(
        name="exit-code",
        fault="a command that fails prints its error and exits with 0",
        file="mlops_assets/cli/__init__.py",
        before="password into it\n        sys.exit(1)\n",
        after="password into it\n        sys.exit(0)\n",
        tests=["cli/dataset/test_commands.py"],
    ),
]

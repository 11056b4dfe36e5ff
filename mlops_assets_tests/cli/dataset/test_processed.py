"""A dataset that is made from another one, by the command line of a project of one's own."""

from __future__ import annotations

from pathlib import Path

from mlops_assets_tests.cli.conftest import Mlops

DECLARATION = """
type: mlops_assets.components.ProcessedDataset
attributes:
  name: thinned
  source: {layout: table, table: {label: land_cover}}
  inputs: [samples]
  function: mlops_assets_tests.processing.functions:thin
---
type: mlops_assets.components.TrainedModel
attributes:
  name: thin_forest
  dataset: thinned
  task: classification
  trainer: mlops_assets.training.trainers.sklearn:train
  params: {estimator: sklearn.ensemble.RandomForestClassifier, n_estimators: 5}
"""


def test_data_is_made_shown_verified_and_trained_on(committed: Path, mlops: Mlops) -> None:
    folder = committed / "fieldwork" / "defs" / "thinned"
    folder.mkdir()
    (folder / "defs.yaml").write_text(DECLARATION)

    def pending() -> list[str]:
        waiting = mlops("status", "--json").json["waiting"]
        return [each["detail"] for each in waiting if each["subject"] == "thinned"]

    assert pending() == ["thinned has not been made of samples@v1"]
    done = mlops("dataset", "commit", "thinned")
    assert done.code == 0, done.err
    assert pending() == []
    assert "made from samples@v1 by mlops_assets_tests.processing.functions:thin" in done.out
    assert "thinned@v1 is new: 1 file(s)" in done.out
    assert "note: kept one row in 2" in done.out
    again = mlops("dataset", "commit", "thinned", "--input", "v1", "--no-assess")
    assert "thinned@v1 is of the same inputs, code and files; nothing new" in again.out
    shown = mlops("dataset", "show", "thinned", "--json").json
    assert shown["made_from"] == ["samples@v1"]
    assert shown["function"] == "mlops_assets_tests.processing.functions:thin"
    assert shown["parameters"] == {"every": 2}
    assert "landing" not in shown
    for line in ("made_from", "samples@v1", "code"):
        assert line in mlops("dataset", "show", "thinned").out
    assert mlops("train", "thin_forest").code == 0
    assert mlops("verify").code == 0


def test_options_that_do_not_fit_are_usage_errors(committed: Path, mlops: Mlops) -> None:
    folder = committed / "fieldwork" / "defs" / "thinned"
    folder.mkdir()
    (folder / "defs.yaml").write_text(DECLARATION)
    rehash = mlops("dataset", "commit", "thinned", "--rehash")
    assert (rehash.code, "commit those with --rehash" in rehash.err) == (2, True)
    landing = mlops("dataset", "commit", "samples", "--input", "v1")
    assert (landing.code, "samples is not made from another dataset" in landing.err) == (2, True)
    preview = mlops("dataset", "preview", "thinned")
    assert (preview.code, "thinned is made from samples" in preview.err) == (1, True)
    unknown = mlops("dataset", "commit", "thinned", "--input", "v7")
    assert (unknown.code, "samples@v7 is not known" in unknown.err) == (1, True)

"""Run a model from its STAC Item alone: python run_from_record.py ITEM INPUT OUTPUT.

ITEM is a path or URL of an Item with the MLM extension. INPUT is a table (CSV) or a raster; OUTPUT
is a CSV file with one result a row, or a GeoTIFF. This needs numpy, onnxruntime and rasterio, and
knows MLM, not the platform that has written the Item.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from pathlib import Path
from urllib.parse import urljoin
from urllib.request import urlopen

import numpy as np
import onnxruntime
import rasterio


class Model:
    """An ONNX model with what its Item says about input and output."""

    def __init__(self, item: str) -> None:
        url = item if "://" in item else Path(item).resolve().as_uri()
        properties, assets = self._read(url)
        self.input = properties["mlm:input"][0]
        self.output = properties["mlm:output"][0]
        self.dimensions = self.input["input"]["dim_order"]
        self.batch = properties.get("mlm:batch_size_suggestion", 1)
        self.field = properties.get("mlops:receptive_field")
        self.steps = self.input.get("pre_processing_function") or []
        (weights,) = (own for own in assets.values() if "mlm:model" in own.get("roles", []))
        with urlopen(urljoin(url, weights["href"])) as response:
            content = response.read()
        # a multihash: 12 is sha256, 20 its length
        if weights["file:checksum"] != "1220" + hashlib.sha256(content).hexdigest():
            raise ValueError(f"{weights['href']} is not the file that {item} describes")
        self.session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    @staticmethod
    def _read(url: str) -> tuple[dict, dict]:
        with urlopen(url) as response:
            item = json.load(response)
        return item["properties"], item["assets"]

    def predict(self, samples: np.ndarray) -> np.ndarray:
        """Return the class value or the number of each sample, or of each pixel of a window."""
        name, dtype = self.input["name"], self.input["input"]["data_type"]
        parts = [
            self.session.run([self.output["name"]], {name: batch.astype(dtype)})[0]
            for batch in (
                samples[start : start + self.batch] for start in range(0, len(samples), self.batch)
            )
        ]
        found = np.concatenate(parts)
        if "class" in self.output["result"]["dim_order"]:
            found = found.argmax(axis=self.output["result"]["dim_order"].index("class"))
        classes = self.output.get("classification:classes")
        return np.array([own["value"] for own in classes])[found] if classes else found

    def run_table(self, path: str) -> np.ndarray:
        """Return the result of each row of a CSV file."""
        with Path(path).open(newline="") as file:
            rows = list(csv.DictReader(file))
        values = [[float(row[name] or "nan") for name in self.input["variables"]] for row in rows]
        return self.predict(np.array(values, dtype=np.float32))

    def run_raster(self, path: str) -> tuple[np.ndarray, dict]:
        """Return the map of a scene with the profile of its file, or the class of an image."""
        with rasterio.open(path) as raster:
            names = list(raster.descriptions)
            wanted = self.input["bands"]
            known = all(name in names for name in wanted)
            bands = [names.index(own) + 1 if known else k for k, own in enumerate(wanted, 1)]
            pixels, valid = raster.read(bands), (raster.read_masks(bands) > 0).all(axis=0)
            if any(step["format"] == "gdal_translate" for step in self.steps):  # -unscale
                factors = np.array([(raster.scales[k - 1], raster.offsets[k - 1]) for k in bands])
                pixels = pixels * factors[:, :1, None] + factors[:, 1:, None]
            profile = raster.profile
        pixels = pixels.astype(np.float32)
        valid &= np.isfinite(pixels).all(axis=0)
        if "scene-classification" in self.output["tasks"]:
            return self.predict(self._fitted(pixels)[None]), profile
        found = self._windows(pixels) if self._is_map() else self._patches(pixels)
        nodata = self.output.get("nodata", np.nan)
        return np.where(valid, found, nodata), {**profile, "count": 1, "nodata": nodata}

    def _is_map(self) -> bool:
        return "height" in self.output["result"]["dim_order"]

    def _pad(self, pixels: np.ndarray, width: list[tuple[int, int]]) -> np.ndarray:
        modes = [own["expression"]["mode"] for own in self.steps if own["format"] == "numpy.pad"]
        return np.pad(pixels, [(0, 0), *width], mode=modes[0]) if modes else pixels

    def _sides(self) -> tuple[int, int]:
        shape = dict(zip(self.dimensions, self.input["input"]["shape"], strict=True))
        return shape.get("height", 1), shape.get("width", 1)

    def _fitted(self, image: np.ndarray) -> np.ndarray:
        """Cut an image around its centre, or fill it up on all sides."""
        for axis, side in enumerate(self._sides(), 1):
            spare = image.shape[axis] - side
            if spare > 0:
                image = np.take(image, range(spare // 2, spare // 2 + side), axis=axis)
            width = [(0, 0), (0, 0)]
            width[axis - 1] = (max(-spare, 0) // 2, max(-spare, 0) - max(-spare, 0) // 2)
            image = self._pad(image, width)
        return image

    def _patches(self, scene: np.ndarray) -> np.ndarray:
        """Return the result of each pixel, from the pixels around it."""
        height, width = self._sides()
        margins = [((side - 1) // 2, side // 2) for side in (height, width)]
        padded = self._pad(scene, margins)
        around = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
        rows = []
        for row in range(scene.shape[1]):
            samples = np.moveaxis(around[:, row], 0, 1)  # (pixel, band, height, width)
            rows.append(
                self.predict(samples if "height" in self.dimensions else samples[..., 0, 0])
            )
        return np.stack(rows)

    def _windows(self, scene: np.ndarray) -> np.ndarray:
        """Return the result of each pixel, from windows whose margins are discarded."""
        height, width = self._sides()
        _, rows, columns = scene.shape
        found = np.zeros((rows, columns))
        for top, first, last in self._places(rows, 0):
            for left, start, end in self._places(columns, 1):
                window = scene[:, top : top + height, left : left + width]
                spare = [(0, height - window.shape[1]), (0, width - window.shape[2])]
                result = self.predict(self._pad(window, spare)[None])[0]
                found[first:last, start:end] = result[
                    first - top : last - top, start - left : end - left
                ]
        return found

    def _places(self, length: int, axis: int) -> list[tuple[int, int, int]]:
        """Return where windows start along an axis, and which pixels are kept of each."""
        side = self._sides()[axis]
        # the platform blends windows of networks that look farther, which is not done here
        radius = side if self.field is None else self.field[axis] // 2
        margin = radius if side - 2 * radius >= side / 4 else 0
        end = max(length - side, 0)
        starts = [*range(0, end, side - 2 * margin), end]
        edges = [0, *(start + margin for start in starts[1:]), length]
        return list(zip(starts, edges[:-1], edges[1:], strict=True))


def main(item: str, source: str, target: str) -> None:
    """Run a model on one file, and write its results."""
    model = Model(item)
    if "variables" in model.dimensions:
        np.savetxt(target, model.run_table(source), fmt="%.9g")
        return
    found, profile = model.run_raster(source)
    if found.ndim == 1:
        np.savetxt(target, found, fmt="%.9g")
        return
    kind = np.float32 if "classification:classes" not in model.output else np.int32
    profile |= {"driver": "GTiff", "dtype": np.dtype(kind).name}
    for option in ("photometric", "blockxsize", "blockysize", "tiled", "interleave"):
        profile.pop(option, None)
    with rasterio.open(target, "w", **profile) as raster:
        raster.write(found.astype(kind), 1)


if __name__ == "__main__":
    main(*sys.argv[1:])

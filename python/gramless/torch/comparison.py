"""The answer of `compare_models`: a matrix with names and settings, drawn, saved and loaded. No torch."""

from __future__ import annotations

import csv
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-not-found, import-untyped, unused-ignore]
    from matplotlib.axes import Axes

FORMAT, VERSION = "gramless.ModelComparison", 1
_SUFFIXES = (".safetensors", ".json")


@dataclass(frozen=True, eq=False)
class ModelComparison:
    """CKA of every layer of one model with every layer of another.

    matrix: (len(layers_a), len(layers_b)), float64.
    layers_a, layers_b: names, in the order asked for.
    settings: how it was computed: models, kernel, estimator, method, weighting, pool, examples, batches,
        on_disk, left_out_a, left_out_b.

    >>> result = ModelComparison(np.eye(2), ["conv1", "fc"], ["conv1", "fc"], {"kernel": "Linear()"})
    >>> result.save("result.safetensors")
    >>> ModelComparison.load("result.safetensors").layers_a
    ['conv1', 'fc']
    """

    matrix: npt.NDArray[np.float64]
    layers_a: list[str]
    layers_b: list[str]
    settings: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        rows, columns = self.matrix.shape
        what = ", ".join(f"{name}={self.settings[name]}" for name in _SHOWN if name in self.settings)
        return f"ModelComparison({rows} x {columns} layers{', ' if what else ''}{what})"

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the matrix with `gramless.plot.heatmap`, which takes the options; returns the axes.

        Raises ImportError if matplotlib is missing.
        """
        from ..plot import heatmap

        models = [self.settings.get(name) for name in ("model_a", "model_b")]
        defaults: dict[str, Any] = {"label_a": models[0], "label_b": models[1], "title": self._title()}
        return heatmap(self.matrix, self.layers_a, self.layers_b, ax, **(defaults | options))

    def _title(self) -> str:
        kernel = str(self.settings.get("kernel", "")).partition("(")[0].replace("Linear", "linear")
        estimator = self.settings.get("estimator")
        examples = self.settings.get("examples")
        parts = [kernel, estimator, f"n = {examples}" if examples else None]
        known = ", ".join(str(part) for part in parts if part)
        return f"CKA ({known})" if known else "CKA"

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the matrix with its names, every digit of every value."""
        with Path(path).open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(["", *self.layers_b])
            for name, values in zip(self.layers_a, self.matrix.tolist(), strict=True):
                writer.writerow([name, *map(repr, values)])

    def to_dataframe(self) -> pd.DataFrame:
        """A pandas DataFrame, layers of a as its index, those of b as its columns.

        Raises ImportError if pandas is missing.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                "ModelComparison.to_dataframe: needs pandas, which is not installed: pip install pandas"
            ) from error
        return pd.DataFrame(self.matrix, index=self.layers_a, columns=self.layers_b)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a .safetensors file (names and settings as JSON in its metadata), or to .json.

        The file is complete or not there. Raises ValueError for another suffix.
        """
        target = _checked(path, "save")
        record = {
            "format": FORMAT,
            "version": VERSION,
            "layers_a": self.layers_a,
            "layers_b": self.layers_b,
            "settings": self.settings,
        }
        if target.suffix == ".json":
            rows = [[None if np.isnan(v) else v for v in row] for row in self.matrix.tolist()]
            content = json.dumps(record | {"matrix": rows}, indent=1).encode()
        else:
            content = _safetensors_bytes(self.matrix, json.dumps(record))
        unfinished = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            unfinished.write_bytes(content)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ModelComparison:
        """Read what `save` wrote.

        Raises ValueError for a file of another format or version, or a damaged one.
        """
        source = _checked(path, "load")
        record = _read(source)
        if record.get("format") != FORMAT:
            raise ValueError(f"ModelComparison.load: {source.name} holds no result of compare_models")
        if record.get("version") != VERSION:
            raise ValueError(
                f"ModelComparison.load: {source.name} has version {record.get('version')!r} of the format, "
                f"but this gramless reads version {VERSION}"
            )
        try:
            matrix = np.array(record["matrix"], np.float64)
            layers_a, layers_b = (list(map(str, record[name])) for name in ("layers_a", "layers_b"))
            settings = dict(record["settings"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"ModelComparison.load: {source.name} is damaged ({error})") from None
        if matrix.shape != (len(layers_a), len(layers_b)):
            raise ValueError(
                f"ModelComparison.load: {source.name} is damaged (a matrix {matrix.shape} for "
                f"{len(layers_a)} x {len(layers_b)} layers)"
            )
        return cls(matrix, layers_a, layers_b, settings)


_SHOWN = ("model_a", "model_b", "kernel", "estimator", "method", "examples")


def _checked(path: str | os.PathLike[str], method: str) -> Path:
    path = Path(path)
    if path.suffix not in _SUFFIXES:
        raise ValueError(
            f"ModelComparison.{method}: the file must end in {' or '.join(_SUFFIXES)} but is {path.name!r}"
        )
    return path


def _safetensors_bytes(matrix: npt.NDArray[np.float64], metadata: str) -> bytes:
    data = np.ascontiguousarray(matrix, "<f8").tobytes()
    entry = {"dtype": "F64", "shape": list(matrix.shape), "data_offsets": [0, len(data)]}
    header = json.dumps({"__metadata__": {"gramless": metadata}, "matrix": entry}).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data


def _read(source: Path) -> Mapping[str, Any]:
    """The record with its matrix; a file that is none of ours gives a record without our format."""
    try:
        if source.suffix == ".json":
            record = json.loads(source.read_bytes())
            return record if isinstance(record, dict) else {}
        from ..cli.safetensors import open_safetensors

        tensors = open_safetensors(source)  # checks every length
        with source.open("rb") as stream:
            header = json.loads(stream.read(struct.unpack("<Q", stream.read(8))[0]))
        record = json.loads(header.get("__metadata__", {}).get("gramless", "{}"))
        return dict(record) | ({"matrix": np.array(tensors["matrix"]())} if "matrix" in tensors else {})
    except (ValueError, TypeError, AttributeError) as error:  # JSONDecodeError and FileError are ValueErrors
        raise ValueError(f"ModelComparison.load: {source.name} cannot be read ({error})") from None

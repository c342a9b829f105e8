"""The answer of `compare_models`: a matrix with names and settings, drawn, saved and loaded. No torch."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _files
from .._safetensors import metadata, open_safetensors
from .._text import csv_text, printable

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-not-found, import-untyped, unused-ignore]
    from matplotlib.axes import Axes

FORMAT, VERSION = "gramless.ModelComparison", 1
LONGEST_JSON, MOST_LISTS = 2**26, 2**20  # bytes that are read, and what Python would make of them
_SUFFIXES = (".safetensors", ".json")


@dataclass(frozen=True, eq=False)
class ModelComparison:
    """CKA of every layer of one model with every layer of another.

    matrix: (len(layers_a), len(layers_b)), float64.
    layers_a, layers_b: names, in the order asked for.
    settings: how it was computed: models, kernel, estimator, method, weighting, pool, examples, batches,
        on_disk; left_out_a and left_out_b map the layers that were left out to the reasons.

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
        what = "".join(f", {name}={self.settings[name]}" for name in _SHOWN if name in self.settings)
        without = self._left_out()
        what += f", left out: {without}" if without else ""
        return printable(f"ModelComparison({rows} x {columns} layers{what})")

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the matrix with `gramless.plot.heatmap`, which takes the options; returns the axes. A caption
        says which layers were left out, and why.

        Raises ImportError if matplotlib is missing.
        """
        from ..plot import heatmap

        models = [self.settings.get(name) for name in ("model_a", "model_b")]
        defaults: dict[str, Any] = {"label_a": models[0], "label_b": models[1], "title": self._title()}
        ax = heatmap(self.matrix, self.layers_a, self.layers_b, ax, **(defaults | options))
        if without := self._left_out():
            style: dict[str, Any] = {
                "ha": "center",
                "va": "top",
                "fontsize": "x-small",
                "wrap": True,
                "annotation_clip": False,
                "parse_math": False,
            }
            ax.annotate(
                f"left out: {without}",
                (0.5, 0),
                (0, -4),
                xycoords=ax.xaxis.label,
                textcoords="offset points",
                **style,
            )
        return ax

    def _left_out(self) -> str:
        """The layers that were left out, in short."""
        models = {"a": self.settings.get("left_out_a"), "b": self.settings.get("left_out_b")}
        if models["a"] == models["b"] and self.settings.get("model_a") == self.settings.get("model_b"):
            models = {"": models["a"]}
        texts = {model: left_out_text(found, 3) for model, found in models.items() if found}
        return "; ".join(f"{text}{' of ' if model else ''}{model}" for model, text in texts.items())

    def _title(self) -> str:
        kernel = str(self.settings.get("kernel", "")).partition("(")[0].replace("Linear", "linear")
        estimator = self.settings.get("estimator")
        examples = self.settings.get("examples")
        parts = [kernel, estimator, f"n = {examples}" if examples else None]
        known = ", ".join(str(part) for part in parts if part)
        return f"CKA ({known})" if known else "CKA"

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the matrix with its names, every digit of every value; the file is complete or not changed.

        Control characters in names are written as escapes, and a name that a spreadsheet would take for a
        formula gets an apostrophe in front. Raises ValueError for a file of a data format, OSError where it
        cannot be written.
        """
        _files.check_kind("ModelComparison.to_csv", path)
        _files.write_file(path, csv_text(self.matrix, self.layers_a, self.layers_b).encode())

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

        The file is complete or not changed. Raises ValueError for another suffix, and for a .safetensors file
        of something else, which is not replaced; OSError where the file cannot be written.
        """
        target = _checked(path, "save")
        if target.suffix == ".safetensors" and target.is_file() and _is_foreign(target):
            raise ValueError(
                f"ModelComparison.save: {printable(target.name)} holds tensors of something else; name "
                "another file"
            )
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
        _files.write_file(target, content)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ModelComparison:
        """Read what `save` wrote.

        Raises ValueError for a file of another format or version, or a damaged one.
        """
        source = _checked(path, "load")
        record, name = _read(source), printable(source.name)
        if record.get("format") != FORMAT:
            raise ValueError(f"ModelComparison.load: {name} holds no result of compare_models")
        if record.get("version") != VERSION:
            raise ValueError(
                f"ModelComparison.load: {name} has version {record.get('version')!r} of the format, "
                f"but this gramless reads version {VERSION}"
            )
        try:
            layers_a, layers_b = (list(map(str, record[name])) for name in ("layers_a", "layers_b"))
            settings, shape = dict(record["settings"]), np.shape(record["matrix"])
            if shape == (len(layers_a), len(layers_b)):
                return cls(np.array(record["matrix"], np.float64), layers_a, layers_b, settings)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"ModelComparison.load: {name} is damaged ({printable(str(error))})") from None
        raise ValueError(
            f"ModelComparison.load: {name} is damaged (a matrix {shape} for "
            f"{len(layers_a)} x {len(layers_b)} layers)"
        )


def left_out_text(left_out: Mapping[str, str] | Sequence[str], most: int | None = None) -> str:
    """Layers with the reasons why they were left out, together by reason; most: names shown of each.

    >>> left_out_text({"a": "never ran", "b": "never ran", "c": "never ran", "d": "returns str"}, 2)
    "'a', 'b' and 1 more (never ran), 'd' (returns str)"
    """
    reasons = left_out if isinstance(left_out, Mapping) else dict.fromkeys(left_out, "")
    together: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        together.setdefault(reason, []).append(name)
    texts = []
    for reason, names in together.items():
        more = 0 if most is None else max(len(names) - most, 0)
        shown = ", ".join(map(repr, names[: len(names) - more]))
        texts.append(f"{shown}{f' and {more} more' if more else ''}{f' ({reason})' if reason else ''}")
    if most is not None and len(texts) > most:
        rest = sum(len(names) for names in list(together.values())[most:])
        texts[most:] = [f"{rest} more for other reasons"]
    return ", ".join(texts)


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
            content = _files.read_file("it", source, LONGEST_JSON)
            if content.count(b"[") + content.count(b"{") > MOST_LISTS:
                raise ValueError("it holds too many lists")
            record = json.loads(content)
            return record if isinstance(record, dict) else {}
        tensors = open_safetensors(source)  # checks every length
        record = json.loads(metadata(source).get("gramless", "{}"))
        return dict(record) | ({"matrix": tensors["matrix"]()} if "matrix" in tensors else {})
    except (ValueError, TypeError, AttributeError, RecursionError) as error:  # FileError is a ValueError
        reason = printable(" ".join(str(error).split()))
        raise ValueError(
            f"ModelComparison.load: {printable(source.name)} cannot be read ({reason})"
        ) from None


def _is_foreign(target: Path) -> bool:
    """Whether a .safetensors file holds tensors, and not a result."""
    try:
        return "gramless" not in metadata(target)
    except ValueError:  # damaged
        return False

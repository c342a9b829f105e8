"""Results of `gramless compare` as JSON and as a table of best matches."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.table import Table
from rich.text import Text

import gramless

from ..kernels import Kernel, OfDistance
from ..results import LayerMatrix
from .terminal import results


def describe(kernel: Kernel) -> str:
    """The kernel as text for titles."""
    if isinstance(kernel, gramless.Linear):
        return "linear"
    name = type(kernel).__name__
    of_bandwidth = [field.name for field in fields(OfDistance)] if isinstance(kernel, OfDistance) else []
    own = [f"{field} {value}" for field, value in asdict(kernel).items() if field not in of_bandwidth]
    if isinstance(kernel, OfDistance):
        own.append(f"sigma {kernel.sigma:g}" if kernel.sigma is not None else f"{kernel.scale:g} x median")
    return ", ".join([name, *own])


def as_json(found: LayerMatrix, kernel: Kernel) -> str:
    """The whole result as JSON; NaN, infinite and missing values are null."""
    fields: dict[str, Any] = {
        "gramless": gramless.__version__,
        "rows": found.n,
        "kernel": {"name": kernel.formula} | asdict(kernel),
        "estimator": found.settings["estimator"],
        "pvalue_method": found.settings.get("pvalue"),
        "layers_a": found.layers_a,
        "layers_b": found.layers_b,
        "cka": _numbers(found.matrix),
        "z": _numbers(found.z),
        "pvalue": _numbers(found.pvalue),
        "pvalue_corrected": _numbers(found.pvalue_corrected),
        "level": found.settings.get("level"),
        "low": _numbers(found.low),
        "high": _numbers(found.high),
        "standard_error": _numbers(found.standard_error),
        "record": found.record,
    }
    return json.dumps(fields, indent=1, allow_nan=False) + "\n"


def _numbers(values: npt.NDArray[np.float64] | None) -> list[list[float | None]] | None:
    if values is None:
        return None
    return [[value if np.isfinite(value) else None for value in row] for row in values.tolist()]


def _interval(found: LayerMatrix, i: int, j: int) -> str:
    low, high = (np.asarray(ends)[i, j] for ends in (found.low, found.high))
    return f"{low:.4f} to {high:.4f}"


def print_best(found: LayerMatrix, with_itself: bool, title: str, alpha: float) -> None:
    """Print the best match of every layer; within one model a layer is not matched with itself."""
    values = found.matrix.copy()
    others = with_itself and len(values) > 1
    corrected = found.pvalue_corrected
    table = Table()
    table.add_column("layer of A")
    table.add_column("best match among the other layers" if others else "best match in B")
    table.add_column("CKA", justify="right")
    if found.low is not None:
        table.add_column(f"{100 * found.settings['level']:g} % interval", justify="right")
    if corrected is not None:
        table.add_column("p, corrected", justify="right")
    if others:
        np.fill_diagonal(values, np.nan)
    for i, (name, row) in enumerate(zip(found.layers_a, values, strict=True)):
        if np.isnan(row).all():
            table.add_row(Text(name), "", "nan")
            continue
        best = int(np.nanargmax(row))
        ends = [] if found.low is None else [_interval(found, i, best)]
        of_chance = [] if corrected is None else [f"{corrected[i, best]:.2g}"]
        by_chance = corrected is not None and corrected[i, best] > alpha
        match = "none beyond chance" if by_chance else found.layers_b[best]
        table.add_row(Text(name), Text(match), f"{row[best]:.4f}", *ends, *of_chance)
    console = results()
    console.print(title)
    console.print(table)
    if corrected is not None:
        count = int(np.count_nonzero(found.within_chance(alpha)))
        console.print(f"{count} of {values.size} cells {found.chance_text(alpha).removeprefix('hatched: ')}")

"""Shared by the studies: their options, and a folder that keeps the results of each seed.

A run reads the results that it finds in the folder instead of computing them, and so resumes after an
interruption. `_networks.py` is for studies that train networks.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from _record import read_numbers, record, save_numbers, write_whole

Settings = dict[str, Any]
Arrays = dict[str, npt.NDArray[Any]]


def add_study_arguments(parser: argparse.ArgumentParser, seeds: str) -> None:
    """Adds the options of a study, except those of its data; seeds: what --help says of their default."""
    parser.add_argument("--full", action="store_true", help="run all seeds, as for the committed numbers")
    parser.add_argument("--seeds", type=int, nargs="+", help=seeds)
    parser.add_argument(
        "--keep", type=Path, help="folder for the results of each seed; the same command resumes from it"
    )
    parser.add_argument("--out", type=Path, help="write a figure and its numbers")
    parser.add_argument("--redraw", type=Path, help="only draw the figure of these numbers, a .json")


def run_study(
    arguments: argparse.Namespace,
    measured: Callable[[argparse.Namespace], dict[str, Any]],
    draw: Callable[[dict[str, Any], Path], None],
) -> None:
    """Measures, and writes numbers and figure if --out names a file; with --redraw only the figure."""
    if arguments.redraw:
        draw(read_numbers(arguments.redraw), arguments.out or arguments.redraw.with_suffix(".png"))
        return
    numbers = measured(arguments)
    if arguments.out:
        draw(save_numbers(arguments, numbers), arguments.out)


def kept_numbers(
    folder: Path | None, name: str, settings: Settings, compute: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """The numbers that `compute` returns, saved as JSON with the record of the run that computed them."""
    path = None if folder is None else folder / f"{name}.json"
    if path is not None and path.exists():
        kept = json.loads(path.read_text())
        check_settings(path, kept["settings"], settings)
        return dict(kept["found"])
    found = compute()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = {"settings": settings, "record": record(), "found": found}
        write_whole(path, json.dumps(kept) + "\n")
    return found


def kept_arrays(folder: Path | None, name: str, settings: Settings, compute: Callable[[], Arrays]) -> Arrays:
    """The arrays that `compute` returns, such as the activations of a network, saved as .npz."""
    path = None if folder is None else folder / f"{name}.npz"
    if path is not None and path.exists():
        with np.load(path, allow_pickle=False) as entries:
            found = {key: entries[key] for key in entries.files}
        check_settings(path, json.loads(str(found.pop("settings"))), settings)
        return found
    found = compute()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".new.npz")
        np.savez(beside, settings=np.array(json.dumps(settings)), **found)
        beside.replace(path)
    return found


def check_settings(path: Path, found: Settings, wanted: Settings) -> None:
    """Raises SystemExit if a file was saved with other settings."""
    if found != wanted:
        raise SystemExit(f"{path} was kept with {found}, not with {wanted}: name another folder with --keep")


def mean_and_spread(values: Any) -> tuple[float, float]:
    """The mean, and the standard deviation with n - 1, which is 0 for one value."""
    array = np.asarray(values, float)
    return float(array.mean()), float(array.std(ddof=1)) if array.size > 1 else 0.0

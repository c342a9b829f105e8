"""What the studies share: their options, and a folder that keeps what each seed gave.

What was kept is read again and not computed anew, so that a run that was interrupted resumes. `_networks.py`
has what those need that train networks.
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
    """The options of a study, beside those of its data; seeds: how many there are by default."""
    parser.add_argument("--full", action="store_true", help="all seeds, for the committed numbers")
    parser.add_argument("--seeds", type=int, nargs="+", help=seeds)
    parser.add_argument(
        "--keep", type=Path, help="a folder for what each seed gives; the same command resumes from it"
    )
    parser.add_argument("--out", type=Path, help="write a picture and its numbers")
    parser.add_argument("--redraw", type=Path, help="draw the picture of these numbers, a .json, and stop")


def run_study(
    arguments: argparse.Namespace,
    measured: Callable[[argparse.Namespace], dict[str, Any]],
    draw: Callable[[dict[str, Any], Path], None],
) -> None:
    """Measure, and write numbers and picture where --out names a file; with --redraw only the picture."""
    if arguments.redraw:
        draw(read_numbers(arguments.redraw), arguments.out or arguments.redraw.with_suffix(".png"))
        return
    numbers = measured(arguments)
    if arguments.out:
        draw(save_numbers(arguments, numbers), arguments.out)


def kept_numbers(
    folder: Path | None, name: str, settings: Settings, compute: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """What `compute` returns, kept as JSON with the record of the run that computed it."""
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
    """The arrays that `compute` returns, kept as .npz: the activations of a network."""
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
    """Raises SystemExit where a file was kept by another command."""
    if found != wanted:
        raise SystemExit(f"{path} was kept with {found}, not with {wanted}: name another folder with --keep")


def mean_and_spread(values: Any) -> tuple[float, float]:
    """The mean, and the standard deviation with n - 1; 0 of one value."""
    array = np.asarray(values, float)
    return float(array.mean()), float(array.std(ddof=1)) if array.size > 1 else 0.0

"""What the studies share: one thread while they train, and a folder that keeps what each seed gave.

A network that is trained again on another number of threads differs after some steps, for rounding grows. So
every study trains on one thread, and what it kept it reads again instead of computing it anew.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _record import record, write_whole
from torch import nn

Settings = dict[str, Any]


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a study, beside those of `_fashion.add_arguments`."""
    parser.add_argument("--full", action="store_true", help="all seeds, for the committed numbers")
    parser.add_argument(
        "--keep", type=Path, help="a folder for what each seed gives; the same command resumes from it"
    )
    parser.add_argument("--out", type=Path, help="write a picture and its numbers")
    parser.add_argument("--redraw", type=Path, help="draw the picture of these numbers, a .json, and stop")


def one_thread() -> None:
    """Training is then the same on every machine with the same versions and instructions."""
    torch.set_num_threads(1)


def kept_network(
    folder: Path | None, name: str, settings: Settings, model: nn.Module, train: Callable[[nn.Module], None]
) -> nn.Module:
    """The model, trained or as it was kept under this name with the same settings."""
    path = None if folder is None else folder / f"{name}.pt"
    if path is not None and path.exists():
        found = torch.load(path, weights_only=True)
        check_settings(path, found["settings"], settings)
        model.load_state_dict(found["weights"])
        return model.eval()
    train(model)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".new")
        torch.save({"settings": settings, "weights": model.state_dict()}, beside)
        beside.replace(path)
    return model.eval()


def kept_numbers(
    folder: Path | None, name: str, settings: Settings, compute: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """What `compute` returns, with the record of the run that computed it, kept as JSON."""
    path = None if folder is None else folder / f"{name}.json"
    if path is not None and path.exists():
        found: dict[str, Any] = json.loads(path.read_text())
        check_settings(path, found["settings"], settings)
        return found
    found = {"settings": settings, "record": record()} | compute()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(found) + "\n")
    return found


def check_settings(path: Path, found: Settings, wanted: Settings) -> None:
    """Raises SystemExit where a file was kept by another command."""
    if found != wanted:
        raise SystemExit(f"{path} was kept with {found}, not with {wanted}: name another folder with --keep")


def mean_and_spread(values: Any) -> tuple[float, float]:
    """The mean, and the standard deviation with n - 1; 0 of one value."""
    array = np.asarray(values, float)
    return float(array.mean()), float(array.std(ddof=1)) if array.size > 1 else 0.0

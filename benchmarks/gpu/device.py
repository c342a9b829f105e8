"""The device of a run: a GPU, or in a rehearsal this machine's CPU or the emulated kernels."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
DEVICES = ("cuda", "cpu", "emulated")


class _Lasting:
    """A stand-in for pytest's monkeypatch, whose changes last until the process ends."""

    @staticmethod
    def setattr(target: Any, name: str, value: Any) -> None:
        setattr(target, name, value)


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cuda", choices=DEVICES, help="cpu and emulated are rehearsals")


def prepare(device: str) -> str:
    """Makes the device usable in this process; returns its name in torch."""
    if device != "emulated":
        return device
    os.environ.setdefault("GRAMLESS_EMULATED_CAPABILITY", "90")  # read when the module is loaded
    sys.path.insert(0, str(ROOT / "tests"))
    import devices

    if devices.extension("emulated") is None:
        raise SystemExit("set GRAMLESS_CUDA_MODULES to the folder with the emulated kernels")
    devices.device("emulated", _Lasting())
    return "cpu"


def synchronize(where: str) -> None:
    """Waits until all enqueued work is done."""
    if where == "cuda":
        torch.cuda.synchronize()


def use_hopper_tiles(wanted: bool) -> None:
    """Chooses the tiles of compute capability 9.0, or those of all GPUs, for all later calls."""
    os.environ["GRAMLESS_HOPPER"] = "1" if wanted else "0"

"""Where the run computes: on a GPU, or in a rehearsal on this machine's CPU or with the emulated kernels."""

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
    """What tests put in place for their own time stays for this process."""

    @staticmethod
    def setattr(target: Any, name: str, value: Any) -> None:
        setattr(target, name, value)


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cuda", choices=DEVICES, help="cpu and emulated: a rehearsal")


def prepare(device: str) -> str:
    """Makes the device usable in this process; returns what torch calls it."""
    if device != "emulated":
        return device
    os.environ.setdefault("GRAMLESS_EMULATED_CAPABILITY", "90")  # read when the module is loaded
    sys.path.insert(0, str(ROOT / "tests"))
    import devices

    if devices.extension("emulated") is None:
        raise SystemExit("GRAMLESS_CUDA_MODULES names no folder with the emulated kernels")
    devices.device("emulated", _Lasting())
    return "cpu"


def synchronize(where: str) -> None:
    """Waits for what was enqueued."""
    if where == "cuda":
        torch.cuda.synchronize()


def use_hopper_tiles(wanted: bool) -> None:
    """The tiles of compute capability 9.0 or those of all GPUs, from the next call on."""
    os.environ["GRAMLESS_HOPPER"] = "1" if wanted else "0"

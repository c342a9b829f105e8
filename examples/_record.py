"""What a run gave, as JSON, beside its picture if it has one: README.md says nothing else."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import gramless


def machine() -> str:
    """The processor and how many of its cores this process may use (Linux)."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'unknown'}, {len(os.sched_getaffinity(0))} cores"


def save_numbers(arguments: argparse.Namespace, numbers: dict[str, Any]) -> None:
    """Write the options of the run and its numbers to FILE.json, where FILE is that of the picture."""
    options = {name: value for name, value in vars(arguments).items() if not isinstance(value, Path)}
    record = {"options": options, "gramless": gramless.__version__, "machine": machine()} | numbers
    path = arguments.out.with_suffix(".json")
    write_whole(path, json.dumps(record) + "\n")
    print(f"wrote {arguments.out}" + ("" if path == arguments.out else " and its numbers"))


def write_whole(path: Path, text: str) -> None:
    """Write beside the file and rename, so that a full disk keeps the old one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)

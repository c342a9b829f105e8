"""The numbers of a run as JSON, beside its figure if it has one. README.md has no other numbers."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import gramless


def record() -> dict[str, Any]:
    """What the numbers depend on: versions, machine, date and commit. `changed`: whether the working tree
    differs from the commit, or None if unknown.
    """
    command = ["git", "-C", str(Path(__file__).parent), "status", "--porcelain", "--untracked-files=no"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        changed = bool(done.stdout.strip())
    except (OSError, subprocess.CalledProcessError):
        changed = None
    return gramless.environment() | {"changed": changed}


def machine(found: dict[str, Any]) -> str:
    """The processor, and the number of its cores that this process may use."""
    return f"{found['machine']['cpu'] or 'unknown'}, {found['machine']['cores']} cores"


def save_numbers(arguments: argparse.Namespace, numbers: dict[str, Any]) -> dict[str, Any]:
    """Writes the options of the run with its seeds, its numbers and its record to FILE.json, where FILE is
    the name of the figure; returns what `read_numbers` reads there.
    """
    options = {name: value for name, value in vars(arguments).items() if not isinstance(value, Path)}
    depends = record()
    head = {"options": options, "record": depends, "gramless": depends["gramless"]}
    path = arguments.out.with_suffix(".json")
    write_whole(path, json.dumps(head | {"machine": machine(depends)} | numbers) + "\n")
    print(f"wrote {arguments.out}" + ("" if path == arguments.out else " and its numbers"))
    return read_numbers(path)


def read_numbers(path: Path) -> dict[str, Any]:
    """Reads a file of `save_numbers`."""
    return dict(json.loads(path.read_text()))


def write_whole(path: Path, text: str) -> None:
    """Writes another file and renames it, so that the old one remains if the disk is full."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)

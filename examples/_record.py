"""What a run gave, written beside its picture, so that README.md can say where its numbers come from."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import gramless


def save_numbers(arguments: argparse.Namespace, numbers: dict[str, Any]) -> None:
    """Write PICTURE.json: the options of the run and its numbers."""
    options = {name: value for name, value in vars(arguments).items() if not isinstance(value, Path)}
    record = {"options": options, "gramless": gramless.__version__} | numbers
    arguments.out.with_suffix(".json").write_text(json.dumps(record) + "\n")
    print(f"wrote {arguments.out} and its numbers")

"""The command line: compare, demo, estimate, info. Only `files` works without click and rich."""

from __future__ import annotations

import importlib.util
import sys

NEEDED = ("click", "rich")


def main() -> None:
    """Run the command line; if click or rich is missing, print what to install and exit with 2."""
    try:
        from .main import gramless
        from .terminal import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in NEEDED:
            raise
        missing = [package for package in NEEDED if importlib.util.find_spec(package) is None]
        said = f"the command line needs {' and '.join(missing)}: pip install {' '.join(missing)}"
        print(f"gramless: {said}", file=sys.stderr)
        sys.exit(2)
    run(gramless)

"""The command line: compare, demo, estimate, info. Only its `files` works without the extra [cli]."""

from __future__ import annotations

import importlib.util
import sys

NEEDED = ("click", "rich")


def main() -> None:
    """Run the command line; without click and rich, say what to install."""
    try:
        from .main import gramless
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in NEEDED:
            raise
        missing = [package for package in NEEDED if importlib.util.find_spec(package) is None]
        said = f"the command line needs {' and '.join(missing)}: pip install {' '.join(missing)}"
        print(f"gramless: {said}", file=sys.stderr)
        sys.exit(2)
    gramless()

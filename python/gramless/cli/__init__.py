"""The command line, `gramless`: compare, demo, info. Only its `files` works without the extra [cli]."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; without click and rich, say what to install."""
    try:
        from .main import gramless
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("click", "rich"):
            raise
        print(f"gramless: the command line needs {package}: pip install 'gramless[cli]'", file=sys.stderr)
        sys.exit(2)
    gramless()

"""python -m examples lists the examples; python -m examples NAME OPTIONS runs one of them."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def listed() -> dict[str, str]:
    """Every example by name, with the first line of its docstring."""
    found = {}
    for path in sorted(FOLDER.glob("[!_]*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        found[path.stem] = text.splitlines()[0]
    return found


def main() -> None:
    names = listed()
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__ + "\nEach has --help; those that train have --quick (a minute).\n")
        width = max(map(len, names))
        print("\n".join(f"{name:{width}}  {line}" for name, line in names.items()))
        return
    name = sys.argv[1].removesuffix(".py")
    if name not in names:
        raise SystemExit(f"there is no example {name!r}: choose one of {', '.join(names)}")
    path = FOLDER / f"{name}.py"
    sys.argv[:] = [str(path), *sys.argv[2:]]
    sys.path.insert(0, str(FOLDER))
    runpy.run_path(str(path), run_name="__main__")


if __name__ == "__main__":
    main()

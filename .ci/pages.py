#!/usr/bin/env python3
"""Runs the code of tutorial pages, each in its own environment, with a wheel of this tree and the packages
that the page names in its sentence "Needs gramless and ...", and no others.

pages.py [PAGE...]: without arguments README.md, the tutorials and the cookbook. All Python code of a page
is one program; its shell commands run after it in the same folder. Code that needs a package that is not
in the index is left out, which is printed.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted((DOCS / "tutorials").iterdir()), DOCS / "howto/cookbook.md"]
BLOCK = re.compile(r"(?:<!-- ([^\n]*?) -->\n)?```(python|sh)\n(.*?)```", re.DOTALL)
NEEDS = re.compile(r"Needs gramless(?:,| and) ([^;.]*)[;.]")


def blocks_of(page: Path) -> tuple[str, list[tuple[str, str, str]]]:
    """The text of a page and its blocks: (mark, language, code)."""
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text, BLOCK.findall(text)
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
    prose = "\n".join(source for kind, source in cells if kind == "markdown")
    return prose, [("", "python", source) for kind, source in cells if kind == "code"]


def install(python: Path, *packages: str) -> bool:
    command = [python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", *packages]
    return subprocess.run(command, check=False).returncode == 0


def run(page: Path, wheel: Path, folder: Path) -> None:
    text, blocks = blocks_of(page)
    named = NEEDS.search(" ".join(text.split()))
    needed = re.split(r", | and ", named[1]) if named else []
    extra = re.search(r"'\.(\[\w+\])'", text)  # of README's first command
    started = time.monotonic()
    venv.create(folder / "env", with_pip=True)
    binaries = folder / "env/bin"
    if not install(binaries / "python", f"{wheel}{extra[1] if extra else ''}", *needed):
        sys.exit(f"{page.name}: {', '.join(needed)} cannot be installed")
    program, commands, left_out = [], [], []
    for mark, language, code in blocks:
        kind, _, names = mark.partition(": ")
        if kind == "not run":
            continue
        if kind == "needs" and not install(binaries / "python", *names.split(", ")):
            left_out.append(names)
        elif kind == "torchrun":
            (folder / "train.py").write_text(code, encoding="utf-8")
            commands.append("torchrun --nproc-per-node 2 train.py")
        elif language == "python":
            program.append(code)
        elif "python3 -m venv" not in code:  # README's own set-up commands: the stages "demo" and "tests"
            commands.append(code)
    (folder / "page.py").write_text("\n".join(program), encoding="utf-8")
    path = {"PATH": f"{binaries}:/usr/bin:/bin", "HOME": str(folder), "MPLBACKEND": "agg"}
    for command in ("python page.py", *commands):
        subprocess.run(["bash", "-euc", command], check=True, cwd=folder, env=path, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    beside = ", ".join(needed) or (extra[1] if extra else "numpy alone")
    print(
        f"{page.relative_to(ROOT)}: with {beside}, {len(program)} blocks of Python and "
        f"{len(commands)} commands in {seconds:.0f} s"
        + "".join(f"; left out, no {name}" for name in left_out),
        flush=True,
    )


def main() -> None:
    pages = [Path(name).resolve() for name in sys.argv[1:]] or PAGES
    with tempfile.TemporaryDirectory() as folder:
        build = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "-c",
            ROOT / "constraints.txt",
            "-w",
            folder,
            ROOT,
        ]
        subprocess.run(build, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        for page in pages:
            with tempfile.TemporaryDirectory() as own:
                run(page, wheel, Path(own))


if __name__ == "__main__":
    main()

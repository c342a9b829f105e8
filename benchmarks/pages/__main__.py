"""python -m benchmarks.pages [--check]: redraws tables, pages and figures from the committed results.

It measures nothing. --check writes nothing, and exits with 1 if the text of a page is out of date.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..environment import ROOT
from . import benchmark_page, example_tables, kernel_costs, main_page, readme

TEXTS = (benchmark_page, main_page, readme, example_tables, kernel_costs)


def outdated() -> Iterator[tuple[Path, str]]:
    """Every page whose text is not that of the results, and its regenerated text."""
    for page in TEXTS:
        text = page.FILE.read_text(encoding="utf-8")
        redrawn = page.redrawn(text)
        if redrawn != text:
            yield page.FILE, redrawn


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args(given)
    changed = list(outdated())
    for file, text in changed:
        print(f"{file.relative_to(ROOT)} {'is out of date' if arguments.check else 'redrawn'}")
        if not arguments.check:
            file.write_text(text, encoding="utf-8")
    if arguments.check:
        return 1 if changed else 0
    from . import figures, how_it_works  # matplotlib is not needed for the text

    figures.draw_all()
    how_it_works.draw()
    return 0


if __name__ == "__main__":
    sys.exit(main())

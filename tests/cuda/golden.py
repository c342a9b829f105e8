#!/usr/bin/env python3
"""golden.py EMULATED RECORDED...: compares the output of golden_probes on GPUs with that of the emulator.

Lines are `name tolerance words`, with words as hexadecimal bits. Tolerance 0: equal words. T: float32 that
differ by at most T of the largest of their line. `each:T`: by at most T of themselves. `double:T`: as T, for
float64. All NaNs are equal where words are numbers. Names that begin with hopper_ may be missing:
only compute capability 9.0 records them. The exit status is 1 if a GPU's results differ.
"""

from __future__ import annotations

import math
import struct
import sys
from pathlib import Path


def records(path: Path) -> dict[str, tuple[str, list[int]]]:
    """Tolerance and words by name; lines that begin with # say where they were recorded."""
    lines = [line.split() for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {name: (tolerance, [int(word, 16) for word in words]) for name, tolerance, *words in lines}


def floats(words: list[int], double: bool) -> list[float]:
    """The numbers with these bits."""
    raw = struct.pack(f"<{len(words)}I", *words)
    return list(struct.unpack(f"<{len(words) // 2}d" if double else f"<{len(words)}f", raw))


def difference(tolerance: str, ours: list[int], theirs: list[int]) -> str | None:
    """The differences, one message each."""
    if len(ours) != len(theirs):
        return f"{len(theirs)} words were recorded, {len(ours)} are expected"
    if tolerance == "0":
        wrong = [i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]
        return f"word {wrong[0]} is {theirs[wrong[0]]:08x}, not {ours[wrong[0]]:08x}" if wrong else None
    kind, _, number = tolerance.rpartition(":")
    a, b = (floats(words, kind == "double") for words in (ours, theirs))
    largest = max(map(abs, a))
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        allowed = float(number) * (abs(x) if kind == "each" else largest)
        if not (x == y or abs(x - y) <= allowed or (math.isnan(x) and math.isnan(y))):
            return f"number {i} is {y!r}, not {x!r}"
    return None


def main() -> int:
    emulated, *recorded = map(Path, sys.argv[1:])
    expected, wrong = records(emulated), 0
    for path in recorded:
        found = records(path)
        wanted = {name: entry for name, entry in expected.items() if name in found or name[:7] != "hopper_"}
        for name, (tolerance, words) in wanted.items():
            complaint = (
                difference(tolerance, words, found[name][1]) if name in found else "it was not recorded"
            )
            if complaint:
                print(f"{path.name}: {name}: {complaint}")
                wrong += 1
        print(f"{path.name}: {len(wanted)} probes compared")
    return 1 if wrong or not expected else 0


if __name__ == "__main__":
    sys.exit(main())

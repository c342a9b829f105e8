"""The numbers of examples/README.md, from the files of the examples and of benchmarks.examples."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from statistics import mean
from typing import Any

from ..environment import ROOT
from .conditions import processor
from .contrastive_tables import CONTRASTIVE
from .results import read
from .study_tables import STUDIES, percent
from .words import table

FILE = ROOT / "examples/README.md"
NUMBERS = ROOT / "docs/images"


def block_structure(found: dict[str, Any]) -> str:
    """Accuracies without layers: the mean, with the worst in brackets."""
    rows = []
    for name in ("small", "deep", "wide"):
        entry = found[name]
        start, stop = entry["block"]
        single, runs, length = entry["accuracy_without"], entry["accuracy_without_runs"], entry["run_length"]
        before = max(start - length + 1, 0)  # the number of runs that end before the block
        rows.append(
            [
                name,
                percent(entry["accuracy"]),
                f"{start} to {stop - 1} of {len(single)}",
                *map(mean_and_worst, (single[:start], single[start:stop], single[stop:])),
                str(length),
                *map(mean_and_worst, (runs["outside"][:before], runs["inside"], runs["outside"][before:])),
                f"{max(entry['first_component']):.2f}",
            ]
        )
    head = ["network", "accuracy", "largest block", "without a layer before the block", "in it", "after it"]
    head += ["run of layers", "without a run before it", "in it", "after it", "largest first component"]
    return table(head, rows)


def mean_and_worst(shares: list[float]) -> str:
    return f"{percent(mean(shares))} ({percent(min(shares))})" if shares else "-"


def sentence_encoders(found: dict[str, Any]) -> str:
    rows = []
    for kernel, matrix in found["L6 x L3"].items():
        best = [max(range(len(matrix)), key=lambda i, j=j: matrix[i][j]) for j in range(len(matrix[0]))]
        ahead = [column[-1] - column[-2] for column in map(sorted, zip(*matrix, strict=True))]
        own = found["L6 x L6"][kernel]
        neighbours = [own[i][i + 1] for i in range(len(own) - 1)]
        rows.append(
            [
                kernel,
                ", ".join("emb" if i == 0 else str(i - 1) for i in best),
                ", ".join(f"{difference:.3f}" for difference in ahead),
                f"{matrix[-1][-1]:.2f}",
                f"{min(neighbours[:-1]):.2f} to {max(neighbours[:-1]):.2f}",
                f"{neighbours[-1]:.2f}",
                f"{max(apart(found[of][kernel], found[of]['linear']) for of in ('L6 x L3', 'L6 x L6')):.2f}",
            ]
        )
    head = ["kernel", "best match in L6 of L3's emb, 0, 1, 2", "ahead of the second best by"]
    head += [
        "CKA of the last layers",
        "neighbours in L6",
        "last two of L6",
        "difference from linear, at most",
    ]
    return table(head, rows)


def apart(matrix: list[list[float]], other: list[list[float]]) -> float:
    """The largest difference of two cells."""
    rows = zip(matrix, other, strict=True)
    return max(abs(a - b) for pair in rows for a, b in zip(*pair, strict=True))


def vision_transformer(found: dict[str, Any]) -> str:
    rows = []
    for way, matrix in found["cka"].items():
        blocks = ", ".join(f"{start} to {stop - 1}" for start, stop in found["blocks"][way])
        linear = found["cka"][way.partition(",")[0] + ", linear"]
        rows.append([way, blocks, f"{matrix[0][-1]:.2f}", f"{apart(matrix, linear):.2f}"])
    head = [
        "rows",
        "three blocks of layers",
        "CKA of first and last layer",
        "difference from linear, at most",
    ]
    return table(head, rows)


def simclr_fashion_mnist(found: dict[str, Any]) -> str:
    differences = found["against float64, at step 1, in ten, at most"]
    rows = []
    for name, probe in found["probes"].items():
        cells = (
            [f"{value:.0e}" for value in differences[name][:2]] + [f"{differences[name][2]:.2g}"]
            if name in differences
            else []
        )
        rows.append([name, percent(probe), *(cells or [""] * 3)])
    head = ["loss", "linear probe", "difference from float64, first step", "first ten steps", "all steps"]
    curves = table(head, rows)
    plain, ours = (found["loss alone"][name] for name in ("plain torch", "gramless"))
    rows = []
    for batch in plain:
        pair = plain[batch], ours[batch]
        times = [milliseconds(entry["seconds"]) for entry in pair]
        ratio = f"{pair[0]['seconds'] / pair[1]['seconds']:.1f}"
        rows.append([batch, *times, ratio, *(megabytes(entry["bytes"]) for entry in pair)])
    alone = table(["N", "plain torch", "gramless", "ratio", "memory, plain torch", "memory, gramless"], rows)
    return f"{curves}\n\n{alone}\n\nMeasured on {found['machine']}."


def milliseconds(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def megabytes(count: float) -> str:
    return f"{count / 1e6:.0f} MB" if count >= 1e7 else f"{count / 1e6:.1f} MB"


def cka_distillation(found: dict[str, Any]) -> str:
    rows = [[way, *map(percent, shares), percent(mean(shares))] for way, shares in found["students"].items()]
    seeds = (found["options"]["seed"] + i for i in range(found["options"]["runs"]))
    return table(["trained with", *(f"seed {seed}" for seed in seeds), "mean"], rows)


def million_rows(runs: dict[str, Any], _: str) -> str:
    recordings = [recording["examples"] for recording in runs["recordings"]]
    found = next((of["million_rows"] for of in recordings if "million_rows" in of), None)
    if found is None:
        return "Not measured yet: `python -m benchmarks.examples --only million_rows` does."
    ten, pair, killed = (found[name] for name in ("ten_layers", "pair", "killed"))
    each = ten["peak_bytes"] / ten["rows"] / ten["layers"]
    bits = "bitwise the result of" if killed["same_bits"] else "ANOTHER RESULT than"
    sentences = [
        f"`million_rows_from_disk.py --layers {ten['layers']}`: {ten['layers']} layers of {ten['rows']:,} x "
        f"{ten['columns']} float32, {ten['bytes_on_disk'] / 1e9:.1f} GB on disk, linear, exact:",
        f"{ten['cpu_seconds']:.1f} s of CPU and {ten['peak_bytes'] / 1e6:.0f} MB of memory above what the "
        f"process had before, {each:.1f} bytes per row and layer; every value is within "
        f"{ten['largest_difference']:.0e} of the value expected from the construction.",
        f"`--rows {pair['rows']} --kernel rbf --checkpoint sweep.npz`, one pair: {pair['cpu_seconds']:.0f} s "
        f"of CPU, {pair['peak_bytes'] / 1e6:.0f} MB.",
        f"After a SIGKILL at part {killed['parts']}, the same command resumed there, took "
        f"{killed['cpu_seconds']:.0f} s and gave {bits} an uninterrupted run.",
    ]
    return "\n".join(sentences)


def examples(runs: dict[str, Any], written: str) -> str:
    """The written table, with the costs of the runs and their machines."""
    rows = written[: written.index("\n\n")].split("\n")
    recordings = dict(zip("abcdefgh", runs["recordings"], strict=False))
    written_table = "\n".join(rows[:2] + [_measured(recordings, row) for row in rows[2:]])
    return "\n\n".join(
        [written_table, *(_where(letter, recording) for letter, recording in recordings.items())]
    )


def _measured(recordings: dict[str, dict[str, Any]], row: str) -> str:
    cells = row.split(" | ")
    name = cells[0].split("`")[1].removesuffix(".py")
    cells[2:6] = ["not run"] * 3 + [""]
    for letter, recording in recordings.items():
        if run := recording["examples"].get(name):
            times = (f"{run[what]:.0f} s" for what in ("seconds", "cpu_seconds"))
            cells[2:6] = [*times, f"{run['peak_bytes'] / 1e6:.0f} MB", letter]
    return " | ".join(cells)


def _where(letter: str, recording: dict[str, Any]) -> str:
    machine = recording["machine"]
    loads = [entry["others_load"] for entry in recording["examples"].values()]
    return (
        f"{letter}: {processor(machine)}, {machine['isa']}, "
        f"Python {recording['python']}, "
        f"torch {recording['versions']['torch']}; commit {recording['commit']}, {recording['date']}. "
        f"Other processes used {min(loads):.0%} to {max(loads):.0%} of the cores, which lengthens times."
    )


TABLES: dict[str, Callable[[dict[str, Any]], str]] = (
    STUDIES
    | CONTRASTIVE
    | {
        make.__name__: make
        for make in (
            block_structure,
            sentence_encoders,
            vision_transformer,
            simclr_fashion_mnist,
            cka_distillation,
        )
    }
)
OF_RUNS: dict[str, Callable[[dict[str, Any], str], str]] = {
    make.__name__: make for make in (examples, million_rows)
}


def _of_example(name: str) -> str:
    path = NUMBERS / f"{name}.json"
    if not path.exists():
        return f"No recorded run yet: `python -m benchmarks.examples --keep {name}` makes one."
    return TABLES[name](json.loads(path.read_text(encoding="utf-8")))


def redrawn(text: str) -> str:
    """The page with its generated parts from the numbers."""
    runs = read("examples") or {"recordings": []}

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        made = OF_RUNS[name](runs, match[2]) if name in OF_RUNS else _of_example(name)
        return f"<!-- {name} -->\n{made}\n<!-- end -->"

    return re.sub(r"<!-- (\w+) -->\n(.*?)<!-- end -->", fill, text, flags=re.DOTALL)

"""The tables of README.md, from the numbers that the examples wrote beside their pictures.

`python examples/_tables.py` rewrites them; tests/test_examples.py finds those that are out of date.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

README = Path(__file__).with_name("README.md")
NUMBERS = README.parents[1] / "docs" / "images"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")


def sanity_check(found: dict[str, Any]) -> str:
    rows = []
    for name in ("seed 1", "untrained"):
        diagonal = [found[name]["matrix"][i][i] for i in range(len(found["layers"]))]
        matched = [f"{found[name][side]} of {len(diagonal)}" for side in ("rows", "columns")]
        rows.append([f"seed 0 x {name}", *matched, f"{min(diagonal):.2f} to {max(diagonal):.2f}"])
    return table(["networks", "rows matched", "columns matched", "CKA of counterparts"], rows)


def block_structure(found: dict[str, Any]) -> str:
    rows = []
    for name in ("small", "deep", "wide"):
        entry = found[name]
        start, stop = entry["block"]
        single = entry["accuracy_without"]
        outside = [*single[:start], *single[stop:]]
        runs = {where: values for where, values in entry["accuracy_without_runs"].items() if values}
        cells = [f"{percent(mean(runs[where]))}" if where in runs else "-" for where in ("inside", "outside")]
        rows.append(
            [
                name,
                percent(entry["accuracy"]),
                f"{start} to {stop - 1} of {len(single)}",
                percent(mean(single[start:stop])),
                percent(mean(outside)) if outside else "-",
                f"{entry['run_length']}: {cells[0]}",
                cells[1],
                f"{max(entry['first_component']):.2f}",
            ]
        )
    head = ["network", "accuracy", "largest block", "one layer less, in it", "outside it"]
    return table([*head, "neighbours less, in it", "outside it", "largest first component"], rows)


def loss_functions(found: dict[str, Any]) -> str:
    rows = []
    for loss, runs in found["networks"].items():
        means = [mean(run[what] for run in runs) for what in ("accuracy", "class separation", "transfer")]
        rows.append([loss, percent(means[0]), f"{means[1]:.3f}", percent(means[2])])
    networks = table(["loss", "accuracy", "class separation", "probe on digits"], rows)
    shown = [found["layers"].index(name) for name in ("conv2", "conv4", "conv6", "conv8", "outputs")]
    cka = [
        [
            name if " x " in name else f"{name}, two seeds",
            *(f"{mean(r[i] for r in values):.2f}" for i in shown),
        ]
        for name, values in found["cka"].items()
    ]
    return networks + "\n\n" + table(["CKA of", *(found["layers"][i] for i in shown)], cka)


def dj_mix(found: dict[str, Any]) -> str:
    total = len(found["transitions"])
    rows = [[name, f"{hits} of {total}"] for name, hits in found["found"].items()]
    return table(["cuts", "transitions within 5 s"], rows)


def sentence_encoders(found: dict[str, Any]) -> str:
    rows = []
    for kernel, matrix in found["L6 x L3"].items():
        best = [max(range(len(matrix)), key=lambda i, j=j: matrix[i][j]) for j in range(len(matrix[0]))]
        rows.append(
            [kernel, ", ".join("emb" if i == 0 else str(i - 1) for i in best), f"{matrix[-1][-1]:.2f}"]
        )
    return table(["kernel", "best match in L6 of L3's emb, 0, 1, 2", "last with last"], rows)


def vision_transformer(found: dict[str, Any]) -> str:
    rows = []
    for way, matrix in found["cka"].items():
        blocks = ", ".join(f"{start} to {stop - 1}" for start, stop in found["blocks"][way])
        rows.append([way, blocks, f"{matrix[0][-1]:.2f}"])
    return table(["rows", "three blocks of layers", "first with last layer"], rows)


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    make.__name__: make
    for make in (
        sanity_check,
        block_structure,
        loss_functions,
        dj_mix,
        sentence_encoders,
        vision_transformer,
    )
}


def filled(text: str) -> str:
    """README.md with every table as the numbers have it."""

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        numbers = json.loads((NUMBERS / f"{name}.json").read_text(encoding="utf-8"))
        return f"<!-- {name} -->\n{TABLES[name](numbers)}\n<!-- end -->"

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", fill, text, flags=re.DOTALL)


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")

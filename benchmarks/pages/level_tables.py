"""What pages say of levels, from results/levels.json and few_rows.json."""

from __future__ import annotations

from collections import defaultdict

from .interval_tables import elsewhere, samples
from .results import UNKNOWN, Entry, read
from .words import table


def levels(found: Entry) -> str:
    """By rows and method, the largest measured level of independent layers, and where it is."""
    methods = list(found["repetitions"])
    rows = []
    for n in sorted({entry["n"] for entry in found["levels"]}):
        cells = [str(n)]
        for method in methods:
            own = [one for one in found["levels"] if one["n"] == n and one["method"] == method]
            if not own:
                cells.append("-")
                continue
            worst = max(own, key=lambda one: float(one["level"]))
            cells.append(f"{100 * worst['level']:.1f} % ({_where(worst)})")
        rows.append(cells)
    return table(["rows", *methods], rows, rule="|---:|" + "---|" * len(methods))


def heavy_tails(found: Entry) -> dict[str, str]:
    """Of layers of Cauchy data and linear kernels, how often a matrix has a cell beyond chance, by method."""
    own = [one for one in found["levels"] if (one["data"], one["kernel"]) == ("Cauchy", "linear")]
    auto = sorted((one for one in own if one["method"].startswith("auto")), key=lambda one: int(one["n"]))
    (chi2,) = (one for one in own if one["method"].startswith("chi2, Holm") and one["n"] == 40)
    said = (f"{100 * one['level']:.1f} % ({one['n']} rows, {one['repetitions']:,} matrices)" for one in auto)
    return {"auto_heavy_tails": ", ".join(said), "chi2_heavy_tails": f"{100 * chi2['level']:.0f} %"}


def repetitions(found: Entry) -> str:
    """By the number of layers or matrices that a level was counted in, its methods and its spread."""
    methods = defaultdict[int, list[str]](list)
    for one in found["levels"]:
        count = one.get("repetitions", found["repetitions"][one["method"]])
        if one["method"] not in methods[count]:
            methods[count].append(one["method"])
    return "\n".join(
        f"- {'; '.join(methods[count])}: {samples(count, found['level'])}"
        for count in sorted(methods, reverse=True)
    )


def few_rows(found: Entry) -> str:
    """By rows, the largest level of chi2."""
    rows = []
    for n in sorted({one["n"] for one in found["levels"]}):
        worst = max((one for one in found["levels"] if one["n"] == n), key=lambda one: float(one["level"]))
        rows.append([str(n), f"{100 * worst['level']:.1f} %", _where(worst)])
    made = table(["rows", "rejected", "data"], rows, rule="|---:|---:|---|")
    return f"{made}\n\n{samples(found['repetitions'], found['level'])}"


def _where(one: Entry) -> str:
    return f"{one['data']}, {one['kernel']}, {one['d']} column{'s' if one['d'] > 1 else ''}"


def substitutions() -> dict[str, str]:
    """By name, what stands in {{ name }}."""
    found, few = read("levels"), read("few_rows")
    names = ("levels", "levels_repetitions", "levels_elsewhere", "auto_heavy_tails", "chi2_heavy_tails")
    made = dict.fromkeys((*names, "few_rows"), UNKNOWN)
    if found is not None:
        made |= {"levels": levels(found), "levels_repetitions": repetitions(found)}
        made |= {"levels_elsewhere": elsewhere((one["method"], one) for one in found["levels"])}
        made |= heavy_tails(found)
    return made | ({"few_rows": few_rows(few)} if few is not None else {})

"""The tables of the studies in examples/README.md: means and spreads over seeds, and what was published."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import mean, stdev
from typing import Any

from .words import table


def percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")


def spread(values: Sequence[float], shown: Callable[[float], str] = "{:.2f}".format) -> str:
    """The mean, and the standard deviation if there are several values."""
    return shown(mean(values)) + (f" ± {shown(stdev(values))}" if len(values) > 1 else "")


def sanity_check(found: dict[str, Any]) -> str:
    rows = []
    for name, index in found["indices"].items():
        shares = index["found"]
        deviation = percent(stdev(shares)) if len(shares) > 1 else "-"
        interval = " to ".join(map(percent, index["interval"])) if index["interval"] else "-"
        published = found["published"].get(name)
        label = "linear CKA, other network untrained" if name == "untrained" else name
        rows.append(
            [
                label,
                percent(mean(shares)),
                deviation,
                interval,
                "-" if published is None else f"{published} %",
            ]
        )
    head = ["index", "layers found", "spread over pairs", "95 % interval", "published"]
    return table(head, rows) + (
        f"\n\n{len(found['seeds'])} seeds, {len(found['pairs'])} pairs, accuracy "
        f"{percent(min(found['accuracy']))} to {percent(max(found['accuracy']))}."
    )


def depth_pathology(found: dict[str, Any]) -> str:
    """A row for each depth and training time: means over seeds, or over pairs of seeds for their CKA."""
    rows = []
    for epochs, depths in sorted(found["epochs"].items(), key=lambda each: int(each[0])):
        for depth, entry in depths.items():
            runs, pairs = list(entry["networks"].values()), entry["pairs"]
            inside, ends = ([pair[where] for pair in pairs] for where in ("in the block", "at the ends"))
            rows.append(
                [
                    f"{depth}, {epochs}",
                    spread([run["accuracy"] for run in runs], percent),
                    f"{found['published'][depth]} %",
                    *(
                        spread([length(run["blocks"][which]) for run in runs], "{:.1f}".format)
                        for which in ("before", "after")
                    ),
                    *(
                        spread([run["alike in the block"][which] for run in runs])
                        for which in ("before", "after")
                    ),
                    spread([max(run["fraction"]) for run in runs]),
                    spread([run["share of many"] for run in runs], percent),
                    spread([gained(run) for run in runs], percent),
                    f"{spread(inside)}, {spread(ends)}" if pairs else "-",
                    spread([pair["images"] for pair in pairs], percent) if pairs else "-",
                ]
            )
    head = ["layers, epochs", "accuracy", "published", "layers in the block", "without the component"]
    head += [
        "CKA in the block",
        "without the component",
        "variance of the first component",
        "share of it in 10 % of the images",
    ]
    head += [
        "probe, end minus start of the block",
        "seeds: CKA in the block, at the ends",
        "images in common",
    ]
    return table(head, rows)


def length(block: Sequence[int]) -> int:
    return block[1] - block[0]


def gained(run: dict[str, Any]) -> float:
    """The accuracy of a probe on the last layer of the block, less that on its first layer."""
    start, stop = run["blocks"]["before"]
    return float(run["probe"][stop - 1] - run["probe"][start])


def loss_functions(found: dict[str, Any]) -> str:
    rows = []
    for loss, runs in found["networks"].items():
        shown = {"accuracy": percent, "class separation": "{:.3f}".format, "transfer": percent}
        rows.append([loss, *(spread([run[what] for run in runs], how) for what, how in shown.items())])
    networks = table(["loss", "accuracy", "class separation", f"probe on {found['transfer to']}"], rows)
    r = [[family, spread(values)] for family, values in found["correlation"].items()]
    correlation = table(["r of class separation and probe, by seed", "mean and spread"], r)
    layers = {name: [*zip(*pairs, strict=True)] for name, pairs in found["cka"].items()}
    cka = [
        [name if " x " in name else f"{name}, seeds", *map(spread, values)] for name, values in layers.items()
    ]
    less = [
        [name, *(f"{round(value, 2) + 0.0:.2f}" for value in less_alike(layers, name))]
        for name in layers
        if " x " in name
    ]
    head = found["layers"]
    return "\n\n".join(
        [
            networks,
            correlation,
            table(["CKA of", *head], cka),
            table(["CKA of seeds minus CKA of losses", *head], less),
        ]
    )


def less_alike(layers: dict[str, list[tuple[float, ...]]], name: str) -> list[float]:
    """For each layer, the mean CKA of two seeds of one of the two losses, less that of the two losses."""
    first, second = name.split(" x ")
    return [
        mean([*a, *b]) - mean(across)
        for a, b, across in zip(layers[first], layers[second], layers[name], strict=True)
    ]


def dj_mix(found: dict[str, Any]) -> str:
    """Means and spreads, over mixes, of each mix's shares of transitions and seconds."""
    mixes = list(found["mixes"].values())
    rows = []
    for name in ("number given", "number chosen", "equal distances"):
        far = [mix["distances"][name] for mix in mixes]
        near = [
            spread([mean([d <= limit for d in distances]) for distances in far], percent)
            for limit in found["near"]
        ]
        segments = spread([len(mix["cuts"][name]) + 1 for mix in mixes], "{:.1f}".format)
        middle = spread([sorted(distances)[len(distances) // 2] for distances in far], "{:.1f} s".format)
        rows.append([name, segments, *near, middle, returned(mixes, name)])
    limits = [f"within {limit:.0f} s" for limit in found["near"]]
    head = ["cuts", "segments", *limits, "median distance", "returns found (by chance)"]
    alike = [mix["ruptures cuts alike"] for mix in mixes if mix["ruptures cuts alike"] is not None]
    ruptures = (
        f"ruptures cuts {sum(alike)} of {len(alike)} mixes at the same rows."
        if alike
        else "ruptures: not run."
    )
    true = spread([len(mix["tracks"]) for mix in mixes[:1]], "{:.0f}".format)
    return table(head, rows) + f"\n\n{len(mixes)} mixes of {true} tracks. {ruptures}"


def returned(mixes: Sequence[dict[str, Any]], name: str) -> str:
    """Over all mixes, the segments of returning tracks that are most similar to another of their track."""
    if name not in mixes[0]["returns"]:
        return "-"
    right, by_chance, total = (
        sum(mix["returns"][name][what] for mix in mixes) for what in ("found", "by chance", "segments")
    )
    return f"{right} ({by_chance:.1f}) of {total}"


STUDIES: dict[str, Callable[[dict[str, Any]], str]] = {
    make.__name__: make for make in (sanity_check, depth_pathology, loss_functions, dj_mix)
}

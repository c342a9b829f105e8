"""The tables of the studies of contrastive learning in examples/README.md, and what was published."""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean
from typing import Any

from .study_tables import percent, spread
from .words import table


def hard_negatives(found: dict[str, Any]) -> str:
    """Differences are from the probe with all negatives of the same seed."""
    runs = list(found["seeds"].values())
    rows = []
    for name, published in PUBLISHED_NEGATIVES.items():
        probes = [run["probes"][name] for run in runs]
        less = [run["probes"][name] - run["probes"]["all"] for run in runs]
        rows.append([name, spread(probes, percent), spread(less, points), published])
    probes = table(["negatives", "linear probe", "minus all negatives", "published"], rows)
    shares = [percent(share) for share in found["shares"]]
    own = [spread([run["own class"][i] for run in runs], percent) for i in range(len(shares))]
    return probes + "\n\n" + table(["the hardest", *shares], [["share of the anchor's class", *own]])


PUBLISHED_NEGATIVES = {
    "untrained": "-",
    "all": "-",
    "without the hardest 0.1 %": "no loss, sometimes a gain",
    "without the hardest 5 %": "a loss",
    "without the hardest 20 %": "a loss",
    "the hardest 5 % alone": "nearly all",
    "the hardest 5 % but for 0.1 %": "nearly all",
    "the easiest 5 % alone": "a loss",
}


def points(share: float) -> str:
    return f"{100 * share:.1f}"


def colour_distortion(found: dict[str, Any]) -> str:
    runs = list(found["seeds"].values())
    rows = [
        [
            name,
            layer,
            spread([run[name][layer]["probe"] for run in runs], percent),
            spread([run[name][layer]["colour"] for run in runs]),
        ]
        for name, layers in runs[0].items()
        for layer in layers
    ]
    return table(["network, views", "layer", "linear probe", "R^2 of the background's colour"], rows)


def simclr_v2_distillation(found: dict[str, Any]) -> str:
    """Differences are from the paper's order of steps with the same seed."""
    runs = list(found["seeds"].values())
    rows = []
    for name in runs[0]:
        less = [run[name] - run[PAPERS_ORDER] for run in runs]
        accuracy = spread([run[name] for run in runs], percent)
        rows.append([name, accuracy, spread(less, points), PUBLISHED_ORDERS.get(name, "-")])
    return table(["network", "accuracy", "minus the paper's order", "published"], rows)


PAPERS_ORDER = "small, classes of the large one distilled"
# Chen et al. 2020b, on ImageNet with 10 % of the labels and ResNet-50 as the small network.
PUBLISHED_ORDERS = {PAPERS_ORDER: "77.5 %", "small, pre-trained itself, fine-tuned": "68.4 %"}


def batch_and_temperature(found: dict[str, Any]) -> str:
    runs = list(found["seeds"].values())
    temperatures = found["temperatures"]
    rows = [
        [
            str(batch),
            *(spread([run["probes"][i][j] for run in runs], percent) for j in range(len(temperatures))),
        ]
        for i, batch in enumerate(found["batches"])
    ]
    means = [[mean(row[j] for row in run["probes"]) for run in runs] for j in range(len(temperatures))]
    rows.append(["mean", *(spread(values, percent) for values in means)])
    rows.append(["published, 4096", *(PUBLISHED_TEMPERATURES.get(each, "-") for each in temperatures)])
    untrained = spread([run["untrained"] for run in runs], percent)
    head = ["images in a batch", *(f"temperature {each}" for each in temperatures)]
    return table(head, rows) + f"\n\nUntrained encoder: {untrained}."


# Chen et al. 2020a, table 5, on ImageNet.
PUBLISHED_TEMPERATURES = {0.05: "59.7 %", 0.1: "64.4 %", 0.5: "60.7 %", 1.0: "58.0 %"}

CONTRASTIVE: dict[str, Callable[[dict[str, Any]], str]] = {
    make.__name__: make
    for make in (hard_negatives, colour_distortion, simclr_v2_distillation, batch_and_temperature)
}

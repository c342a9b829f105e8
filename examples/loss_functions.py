"""Which loss function? The last layers differ, the classes separate more, and the features transfer less.

The same network is trained with softmax cross entropy, with label smoothing and with squared error, each from
several seeds. CKA says from which layer on networks with different losses differ more than seeds of one loss
do. The features before the last layer: how far the classes lie apart in them, and how well a linear probe on
them does on other data, handwritten digits (Kornblith, Chen, Lee and Norouzi 2021).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from _fashion import (
    CLASSES,
    Data,
    accuracy,
    add_arguments,
    classes,
    classifier,
    digits,
    fit_classifier,
    linear_probe,
    load,
    outputs,
    pictures,
)
from _record import save_numbers
from gramless.analysis import class_separation
from gramless.plot import save_figure
from gramless.torch import compare_models
from torch import Tensor, nn
from torch.nn import functional as F

matplotlib.use("agg")
WIDTH = 16
LAYERS = [*(f"conv{i}" for i in range(1, 9)), "mean", "outputs"]


def label_smoothing(scores: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(scores, labels, label_smoothing=0.1)


def squared_error(scores: Tensor, labels: Tensor) -> Tensor:
    """Hui and Belkin 2021: distances from the one-hot vector, scaled up so that the gradients have weight."""
    return 5 * (scores - F.one_hot(labels, CLASSES)).square().mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "softmax": F.cross_entropy,
    "label smoothing": label_smoothing,
    "squared error": squared_error,
}
COLOURS = dict(zip(LOSSES, ("#4c72b0", "#12857a", "#c44e52"), strict=True))


def handwritten() -> Data:
    """scikit-learn's digits as data to transfer to."""
    x, labels, x_test, labels_test = digits()
    return Data(
        "digits",
        pictures(x),
        classes(labels),
        pictures(x_test),
        classes(labels_test),
    )


def trained(loss: str, seed: int, data: Data, epochs: int) -> nn.Module:
    torch.manual_seed(seed)
    model = classifier(WIDTH)
    fit_classifier(model, data, epochs=epochs, loss=LOSSES[loss])
    return model


def measured(model: nn.Module, data: Data, other: Data) -> dict[str, float]:
    encoder = model[0]
    return {
        "accuracy": accuracy(outputs(model, data.test_images), data.test_labels),
        "class separation": class_separation(outputs(encoder, data.train_images), data.train_labels),
        "transfer": linear_probe(encoder, other),
    }


def similarity(a: nn.Module, b: nn.Module, images: Tensor) -> np.ndarray:
    """CKA of every layer with its counterpart."""
    layers = [nn.ReLU, "0", "1"]
    found = compare_models(a, b, images.split(250), layers=layers, pool="none", progress=False)
    return found.matrix.diagonal()


def compared(networks: dict[str, list[nn.Module]], images: Tensor) -> dict[str, np.ndarray]:
    """Between seeds of each loss, and between different losses from different seeds, (pairs, layers) each."""
    found: dict[str, list[np.ndarray]] = {loss: [] for loss in networks}
    for loss, models in networks.items():
        found[loss] = [similarity(a, b, images) for a, b in combinations(models, 2)]
    for first, second in combinations(networks, 2):
        a, b = networks[first], networks[second]
        pairs = [(i, j) for i in range(len(a)) for j in range(len(b)) if i != j]
        found[f"{first} x {second}"] = [similarity(a[i], b[j], images) for i, j in pairs]
    return {name: np.array(values) for name, values in found.items()}


def draw(between: dict[str, np.ndarray], values: dict[str, list[dict[str, float]]], out: Path) -> None:
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
    greys = iter(("0.25", "0.5", "0.7"))
    for name, found in between.items():
        style: dict[str, Any] = {"color": COLOURS.get(name)}
        if name not in COLOURS:
            style = {"color": next(greys), "ls": "--"}
        label = f"{name}, seeds" if name in COLOURS else name
        left.plot(found.mean(0), marker="o", ms=3, lw=1.5, label=label, **style)
        left.fill_between(
            range(len(LAYERS)), found.min(0), found.max(0), color=style["color"], alpha=0.12, lw=0
        )
    left.set(
        title="CKA of corresponding layers of two networks", ylabel="unbiased linear CKA", ylim=(0, 1.02)
    )
    left.set_xticks(range(len(LAYERS)), LAYERS, fontsize=8, rotation=30)
    for loss, runs in values.items():
        x, y = ([run[what] for run in runs] for what in ("class separation", "transfer"))
        right.plot(x, y, "o", color=COLOURS[loss], label=loss)
    right.set(
        title="Features before the last layer, a point per seed",
        xlabel="class separation, training images",
        ylabel="linear probe on handwritten digits",
    )
    for ax in (left, right):
        ax.grid(alpha=0.3)
        ax.legend(frameon=False, fontsize=8)
    save_figure(figure, out, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser, images=8000, epochs=5)
    parser.add_argument("--seeds", type=int, default=2, help="networks of each loss")
    parser.add_argument("--examples", type=int, default=1000, help="test images that layers are compared on")
    parser.add_argument("--out", type=Path, help="write a picture and its numbers")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.images, arguments.epochs, arguments.seeds = min(arguments.images, 1000), 2, 2
        arguments.examples = 300
    data, other = load(arguments), handwritten()
    print(f"{data.name}: {len(data.train_images)} images to train on, {len(data.test_labels)} to test")
    networks: dict[str, list[nn.Module]] = {loss: [] for loss in LOSSES}
    values: dict[str, list[dict[str, float]]] = {loss: [] for loss in LOSSES}
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        for loss in LOSSES:
            started = time.perf_counter()
            networks[loss].append(trained(loss, seed, data, arguments.epochs))
            values[loss].append(measured(networks[loss][-1], data, other))
            shown = ", ".join(f"{name} {value:.3f}" for name, value in values[loss][-1].items())
            print(f"{loss}, seed {seed}: {shown}, {time.perf_counter() - started:.0f} s", flush=True)
    between = compared(networks, data.test_images[: arguments.examples])
    for name, found in between.items():
        print(f"{name:>32}: " + " ".join(f"{value:.2f}" for value in found.mean(0)))
    if arguments.out:
        draw(between, values, arguments.out)
        similarities = {name: found.round(4).tolist() for name, found in between.items()}
        numbers = {"data": data.name, "layers": LAYERS, "cka": similarities, "networks": values}
        save_numbers(arguments, numbers)


if __name__ == "__main__":
    main()

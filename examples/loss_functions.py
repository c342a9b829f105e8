"""Which loss function? The last layers differ, the classes separate more, and the features transfer less.

The same network is trained from several seeds with softmax cross entropy, with label smoothing, with squared
error, and with cosine softmax at four temperatures, which set the separation of the classes. CKA shows in
which layers networks with different losses differ more than seeds of one loss. For the features before the
last layer, the study measures the separation of the classes, and the accuracy of a converged logistic
regression on other data, handwritten digits (Kornblith, Chen, Lee and Norouzi 2021).
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from itertools import combinations, product
from pathlib import Path
from typing import Any

import gramless as gl
import matplotlib
import numpy as np
import numpy.typing as npt
import torch
from _digits import handwritten
from _fashion import CLASSES, Data, Encoder, accuracy, add_arguments, fit_classifier, load, outputs, tested_on
from _figures import draw_band
from _networks import activations_of, conv_layers, from_seed, one_thread
from _study import Arrays, add_study_arguments, kept_arrays, kept_numbers, run_study
from gramless.analysis import class_separation
from gramless.plot import save_figure
from torch import Tensor, nn
from torch.nn import functional as F

matplotlib.use("agg")
WIDTH = 16
LAYERS = [*(f"conv{i}" for i in range(1, 9)), "mean", "outputs"]
COSINES = 0.02, 0.05, 0.1, 0.3  # temperatures
COLOURS = {"softmax": "#4c72b0", "label smoothing": "#dd8452", "squared error": "#c44e52"}
COLOURS |= {
    f"cosine softmax {t}": c
    for t, c in zip(COSINES, ("#0b3d35", "#12857a", "#5fb8a8", "#b0ddd3"), strict=True)
}
LOSSES = [*COLOURS]
QUICK = "softmax", "cosine softmax 0.05"


class Cosine(nn.Module):
    """Cosines of the features with a vector of each class, divided by the temperature."""

    def __init__(self, features: int, temperature: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(CLASSES, features))
        self.temperature = temperature

    def forward(self, features: Tensor) -> Tensor:
        return F.normalize(features) @ F.normalize(self.weight, dim=1).T / self.temperature


def network(loss: str) -> nn.Sequential:
    encoder = Encoder(WIDTH)
    if loss.startswith("cosine"):
        return nn.Sequential(encoder, Cosine(encoder.features, float(loss.split()[-1])))
    return nn.Sequential(encoder, nn.Linear(encoder.features, CLASSES))


def loss_of(loss: str, scores: Tensor, labels: Tensor) -> Tensor:
    if loss == "squared error":  # scaled as in Hui and Belkin 2021, for larger gradients
        return 5 * (scores - F.one_hot(labels, CLASSES)).square().mean()
    return F.cross_entropy(scores, labels, label_smoothing=0.1 if loss == "label smoothing" else 0.0)


def trained(loss: str, seed: int, data: Data, arguments: argparse.Namespace) -> nn.Sequential:
    """The network trained from this seed, or read from its file."""

    def train(model: nn.Module) -> None:
        fit_classifier(model, data, epochs=arguments.epochs, loss=lambda s, labels: loss_of(loss, s, labels))

    settings = settings_of(loss, seed, data, arguments)
    return from_seed(arguments.keep, f"{loss}-{seed}", settings, lambda: network(loss), train)


def settings_of(loss: str, seed: int, data: Data, arguments: argparse.Namespace) -> dict[str, Any]:
    images = len(data.train_images)
    return {"data": data.name, "images": images, "epochs": arguments.epochs, "loss": loss, "seed": seed}


def transfer(encoder: nn.Module, other: Data) -> float:
    """Test accuracy of a converged logistic regression on the standardised features."""
    from sklearn.linear_model import LogisticRegression

    x, x_test = (outputs(encoder, images).numpy() for images in (other.train_images, other.test_images))
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    probe = LogisticRegression(C=1.0, max_iter=5000).fit((x - mean) / spread, other.train_labels.numpy())
    if probe.n_iter_.max() >= probe.max_iter:
        raise RuntimeError(f"the logistic regression did not converge in {probe.max_iter} iterations")
    return float(probe.score((x_test - mean) / spread, other.test_labels.numpy()))


def examined(model: nn.Sequential, data: Data, other: Data) -> dict[str, float]:
    """The accuracy of the network, and the separation and transfer of the features before its last layer."""
    encoder, few = model[0], slice(3000)
    features = outputs(encoder, data.train_images[few])
    return {
        "accuracy": accuracy(outputs(model, data.test_images), data.test_labels),
        "class separation": class_separation(features, data.train_labels[few]),
        "transfer": transfer(encoder, other),
    }


def layers_of(model: nn.Module, images: Tensor) -> Arrays:
    """The activations (n, features) of each layer."""
    return dict(zip(LAYERS, activations_of(model, conv_layers(model), images), strict=True))


def similarities(networks: list[Arrays]) -> dict[str, npt.NDArray[np.float64]]:
    """For each layer, the CKA of every two networks (networks, networks)."""
    return {name: gl.cka_matrix([layers[name] for layers in networks]) for name in networks[0]}


def compared(
    by_layer: dict[str, npt.NDArray[np.float64]], names: list[tuple[str, int]]
) -> dict[str, list[list[float]]]:
    """CKA (pairs, layers) of two seeds of each loss, and of softmax with other losses, at different seeds."""
    groups: dict[str, list[tuple[int, int]]] = {}
    for i, j in combinations(range(len(names)), 2):
        (loss, seed), (other, other_seed) = names[i], names[j]
        if seed == other_seed or (loss != other and "softmax" not in (loss, other)):
            continue
        group = loss if loss == other else f"softmax x {other if loss == 'softmax' else loss}"
        groups.setdefault(group, []).append((i, j))
    return {
        group: [[round(float(matrix[pair]), 4) for matrix in by_layer.values()] for pair in pairs]
        for group, pairs in sorted(groups.items(), key=lambda each: " x " in each[0])
    }


def correlations(networks: dict[str, list[dict[str, float]]]) -> dict[str, list[float]]:
    """Pearson's r of class separation and transfer over losses, one for each seed."""
    found = {}
    families = {
        "cosine softmax": [name for name in networks if name.startswith("cosine")],
        "all losses": [*networks],
    }
    for family, losses in families.items():
        if len(losses) > 2:
            values = np.array(
                [[[run["class separation"], run["transfer"]] for run in networks[x]] for x in losses]
            )
            found[family] = [float(np.corrcoef(values[:, seed].T)[0, 1]) for seed in range(values.shape[1])]
    return found


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    one_thread()
    data, other = tested_on(load(arguments), arguments.tested), handwritten(arguments.quick, 2500)
    losses, images = QUICK if arguments.quick else LOSSES, data.test_images[: arguments.examples]
    print(f"{data.name}: {len(data.train_images)} images to train on, {len(data.test_labels)} to test")
    values: dict[str, list[dict[str, float]]] = {loss: [] for loss in losses}
    layers: dict[tuple[str, int], Arrays] = {}
    for seed, loss in product(arguments.seeds, losses):
        started, name = time.perf_counter(), f"{loss}-{seed}"
        model = trained(loss, seed, data, arguments)
        settings = settings_of(loss, seed, data, arguments) | {"other": other.name}
        settings |= {"tested": len(data.test_labels), "examples": len(images)}
        examine, activate = partial(examined, model, data, other), partial(layers_of, model, images)
        found = kept_numbers(arguments.keep, name, settings, examine)
        layers[loss, seed] = kept_arrays(arguments.keep, name, settings, activate)
        values[loss].append(found)
        shown = ", ".join(f"{what} {value:.3f}" for what, value in found.items())
        print(f"{loss}, seed {seed}: {shown}, {time.perf_counter() - started:.0f} s", flush=True)
    between = compared(similarities([*layers.values()]), [*layers])
    for group, pairs in between.items():
        print(f"{group:>32}: " + " ".join(f"{value:.2f}" for value in np.mean(pairs, axis=0)))
    return {
        "data": data.name,
        "transfer to": other.name,
        "layers": LAYERS,
        "cka": between,
        "networks": values,
        "correlation": correlations(values),
    }


def draw(numbers: dict[str, Any], out: Path) -> None:
    """For each layer, the CKA of seeds of one loss, and how much lower it is for softmax with another loss;
    transfer over class separation.
    """
    from matplotlib import pyplot

    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(17, 4.8), layout="constrained")
    draw_layers(left, middle, numbers)
    draw_transfer(right, numbers)
    for ax in (left, middle, right):
        ax.grid(alpha=0.3)
        ax.legend(frameon=False, fontsize=8)
    save_figure(figure, out, dpi=80)


def draw_layers(left: Any, right: Any, numbers: dict[str, Any]) -> None:
    """Bands have the range over pairs of networks."""
    layers, cka = range(len(numbers["layers"])), numbers["cka"]
    within = {name: np.array(pairs) for name, pairs in cka.items() if " x " not in name}
    for loss, pairs in within.items():
        draw_band(left, layers, pairs, colour=COLOURS[loss], marker="o", ms=3, lw=1.3, label=loss)
    around = np.concatenate([pairs - pairs.mean(axis=0) for pairs in within.values()])
    draw_band(right, layers, around, colour="0.4", lw=3, label="two seeds of one loss")
    for name, pairs in cka.items():
        if " x " in name:
            first, second = name.split(" x ")
            seeds = np.concatenate([within[first], within[second]]).mean(axis=0)
            line = {"colour": COLOURS[second], "marker": "o", "ms": 3, "lw": 1.3, "label": name}
            draw_band(right, layers, pairs - seeds, **line)
    left.set(title="CKA of two seeds of one loss", ylabel="unbiased linear CKA")
    right.set(title="CKA of two losses, less that of two seeds", ylabel="difference of CKA")
    for ax in (left, right):
        ax.set_xticks(layers, numbers["layers"], fontsize=8, rotation=30)


def draw_transfer(ax: Any, numbers: dict[str, Any]) -> None:
    """A point for each seed and a diamond for their mean; a line through cosine softmax."""
    middles = {}
    for loss, runs in numbers["networks"].items():
        x, y = (np.array([run[what] for run in runs]) for what in ("class separation", "transfer"))
        ax.plot(x, 100 * y, "o", color=COLOURS[loss], ms=4, alpha=0.6)
        middles[loss] = x.mean(), 100 * y.mean()
        ax.plot(*middles[loss], "D", color=COLOURS[loss], ms=8, label=loss)
    family = [middle for loss, middle in middles.items() if loss.startswith("cosine")]
    ax.plot(*zip(*family, strict=True), color="0.6", lw=1, zorder=0)
    ax.set(
        title="Features before the last layer: seeds, and their mean",
        xlabel="class separation, training images",
        ylabel=f"logistic regression on {numbers['transfer to']}, %",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser, images=6000, epochs=5)
    add_study_arguments(parser, "of each loss; two, and with --full three")
    parser.add_argument("--tested", type=int, default=3000, help="number of test images for accuracies")
    parser.add_argument("--examples", type=int, default=500, help="number of test images for CKA")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.images, arguments.epochs, arguments.examples = min(arguments.images, 1500), 3, 300
    arguments.seeds = arguments.seeds or [arguments.seed + i for i in range(3 if arguments.full else 2)]
    run_study(arguments, measured, draw)


if __name__ == "__main__":
    main()

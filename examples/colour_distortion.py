"""Which views does SimCLR need? Digits in random colours, and the layer before the projection head.

Chen et al. 2020, arXiv:2002.05709: two crops of an image share its colours, so a network that distinguishes
colours solves the task and learns little else, unless the colours of the views are distorted. Here each digit
of MNIST and its background have random colours, which are independent of its class. SimCLR and a classifier
are trained on several kinds of views. Before and after the projection head, a linear probe measures how well
the features predict the class, and a linear regression how well they predict the background's colour.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import torch
from _contrastive import Contrastive, pretrain
from _digits import Coloured, coloured, handwritten
from _fashion import CLASSES, Data, crop, fit_classifier, linear_probe, outputs
from _figures import draw_means, seeds
from _networks import from_seed, one_thread
from _study import add_study_arguments, kept_numbers, run_study
from gramless.plot import save_figure
from gramless.torch import NTXentLoss
from torch import Tensor, nn

matplotlib.use("agg")
WIDTH, DIMENSIONS, TEMPERATURE, BATCH, SMALLEST = 8, 64, 0.2, 256, 0.7
UNTRAINED, SIMCLR, SUPERVISED = "untrained", "SimCLR", "supervised"
BEFORE, AFTER = "before the head", "after it"


def crops(images: Tensor) -> Tensor:
    return crop(images, SMALLEST, flip=False)


def distorted(images: Tensor) -> Tensor:
    """Images (n, 3, h, w) with every channel scaled and shifted, and half of them inverted."""
    n = len(images)
    views = images * torch.empty(n, 3, 1, 1).uniform_(0.2, 1.8) + torch.empty(n, 3, 1, 1).uniform_(-0.5, 0.5)
    inverted = (torch.rand(n, 1, 1, 1) < 0.5).float()
    return (inverted * (1 - views) + (1 - inverted) * views).clamp(0, 1)


VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "crops": crops,
    "colour": distorted,
    "crops and colour": lambda images: distorted(crops(images)),
}
RUNS = [*((SIMCLR, views) for views in VIEWS), (SUPERVISED, "crops"), (SUPERVISED, "crops and colour")]
QUICK = [(SIMCLR, "crops"), (SIMCLR, "colour")]
COLOURS = {UNTRAINED: "0.6", SIMCLR: "#12857a", SUPERVISED: "#4c72b0"}


def network() -> Contrastive:
    return Contrastive(WIDTH, DIMENSIONS, inputs=3)


def supervised() -> nn.Sequential:
    encoder = network().encoder
    return nn.Sequential(encoder, nn.Linear(encoder.features, CLASSES))


def settings_of(data: Data, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    return {"data": data.name, "images": len(data.train_images), "epochs": arguments.epochs, "seed": seed}


def trained(
    kind: str, views: str, data: Data, seed: int, arguments: argparse.Namespace
) -> tuple[nn.Module, nn.Module | None]:
    """The encoder, and the encoder with its projection head if it has one."""
    settings = settings_of(data, seed, arguments) | {"kind": kind, "views": views}
    where, view, epochs = (arguments.keep, f"{kind}-{views}-{seed}", settings), VIEWS[views], arguments.epochs
    if kind == SUPERVISED:
        classifier = from_seed(
            *where,
            supervised,
            lambda model: fit_classifier(model, data, epochs=epochs, batch=BATCH, view=view),
        )
        return classifier[0], None
    loss = NTXentLoss(temperature=TEMPERATURE)
    model = from_seed(
        *where,
        network,
        lambda model: pretrain(model, data.train_images, loss, epochs=epochs, batch=BATCH, view=view),
    )
    return model.encoder, model


def explained(
    x: npt.NDArray[Any], y: npt.NDArray[Any], x_test: npt.NDArray[Any], y_test: npt.NDArray[Any]
) -> float:
    """R^2 on the test rows of a least-squares fit of y (n, targets) to the standardised x (n, features)."""
    mean, spread = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64) + 1e-6
    weights = np.linalg.lstsq((x - mean) / spread, y - y.mean(axis=0), rcond=None)[0]
    left = y_test - y.mean(axis=0) - ((x_test - mean) / spread) @ weights
    return float(1 - (left**2).sum() / ((y_test - y.mean(axis=0)) ** 2).sum())


def examined(model: nn.Module, digits: Coloured) -> dict[str, float]:
    """How well a layer predicts the class and the colour of the background."""
    data = digits.data
    rows, tested = (outputs(model, images).numpy() for images in (data.train_images, data.test_images))
    colours = digits.train_colours.numpy(), digits.test_colours.numpy()
    return {
        "probe": linear_probe(model, data),
        "colour": explained(rows, colours[0], tested, colours[1]),
    }


def of_seed(digits: Coloured, seed: int, arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """For each network, how well its layers before and after the projection head predict class and colour."""
    torch.manual_seed(seed)
    untrained = network()
    found = {UNTRAINED: {BEFORE: examined(untrained.encoder, digits), AFTER: examined(untrained, digits)}}
    for kind, views in QUICK if arguments.quick else RUNS:
        started = time.process_time()
        encoder, whole = trained(kind, views, digits.data, seed, arguments)
        name = f"{kind}, {views}"
        found[name] = {BEFORE: examined(encoder, digits)}
        if whole is not None:
            found[name][AFTER] = examined(whole, digits)
        shown = ", ".join(
            f"{layer}: probe {of['probe']:.1%}, colour {of['colour']:.2f}"
            for layer, of in found[name].items()
        )
        print(f"seed {seed}, {name}: {shown}; {time.process_time() - started:.0f} CPU s", flush=True)
    return found


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    one_thread()
    digits = coloured(handwritten(arguments.quick, 4000))
    data, found = digits.data, {}
    print(f"{data.name}: {len(data.train_images)} images to train on, {len(data.test_labels)} to test on")
    for seed in arguments.seeds:
        settings = settings_of(data, seed, arguments)
        found[str(seed)] = kept_numbers(
            arguments.keep, f"seed-{seed}", settings, lambda seed=seed: of_seed(digits, seed, arguments)
        )
    return {"data": data.name, "images": len(data.train_images), "seeds": found}


def draw(numbers: dict[str, Any], out: Path) -> None:
    """For each kind of views and each layer, the probe and the explained share of the colour."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(13, 5), sharey=True, layout="constrained")
    runs = list(numbers["seeds"].values())
    shown = [(name, layer) for name, layers in runs[0].items() for layer in layers]
    for ax, what in zip(axes, ("probe", "colour"), strict=True):
        values = [[run[name][layer][what] for run in runs] for name, layer in shown]
        colours = [COLOURS[name.partition(",")[0]] for name, _ in shown]
        draw_means(ax, [f"{name}, {layer}" for name, layer in shown], values, colours)
        ax.set_xlim(0, 100)
    axes[0].set(xlabel="linear probe, % of test images", title="What is known of the digit")
    axes[1].set(xlabel="$R^2$ of a linear regression, %", title="What is known of the background's colour")
    figure.suptitle(f"{numbers['data']} in random colours, {numbers['images']} images; {seeds(len(runs))}")
    save_figure(figure, out, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="run for less than a minute, on scikit-learn's digits"
    )
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    add_study_arguments(parser, "of the networks; one, and with --full two")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.epochs = min(arguments.epochs, 5)
    arguments.seeds = arguments.seeds or [arguments.seed + i for i in range(2 if arguments.full else 1)]
    run_study(arguments, measured, draw)


if __name__ == "__main__":
    main()

"""Do two networks trained from different seeds find each other's layers? Kornblith et al. 2019, section 6.1.

A convolutional network of ten layers is trained twice on Fashion-MNIST, from two seeds. Every layer of one is
compared with every layer of the other on test images that neither has seen. A similarity index that means
something is largest between a layer and its counterpart. The control is the same network before training: it
has the same architecture and sees the same images, and its layers find nothing.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import matplotlib
import torch
from _fashion import Data, accuracy, add_arguments, classifier, fit_classifier, load, outputs
from _record import save_numbers
from gramless import LayerMatrix
from gramless.analysis import LayerCorrespondence, layer_correspondence
from gramless.plot import save_figure
from gramless.torch import compare_models
from torch import nn

matplotlib.use("agg")
WIDTH = 16
NAMES = [*(f"conv{i}" for i in range(1, 9)), "mean", "logits"]


def trained(data: Data, seed: int, epochs: int) -> nn.Module:
    torch.manual_seed(seed)
    model = classifier(WIDTH)
    started = time.perf_counter()
    fit_classifier(model, data, epochs=epochs)
    share = accuracy(outputs(model, data.test_images), data.test_labels)
    print(f"seed {seed}: {share:.2%} of {len(data.test_labels)} test images", end="")
    print(f", {time.perf_counter() - started:.0f} s", flush=True)
    return model


def compared(a: nn.Module, b: nn.Module, images: torch.Tensor, kernel: str) -> LayerMatrix:
    """The ten layers, whole activations as rows."""
    layers = [nn.ReLU, "0", "1"]
    found = compare_models(a, b, images.split(250), layers=layers, kernel=kernel, pool="none")
    return replace(found, layers_a=NAMES, layers_b=NAMES)


def draw(pairs: dict[str, LayerMatrix], found: dict[str, LayerCorrespondence], out: Path) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(13.5, 5.8), layout="constrained")
    for ax, (name, pair) in zip(axes, pairs.items(), strict=True):
        rows, columns = int(found[name].rows.sum()), int(found[name].columns.sum())
        title = f"{name}: {rows} of 10 rows, {columns} of 10 columns find their counterpart"
        pair.plot(ax, mark_best=True, annotate=True, title=title, label_a="seed 0", label_b=name)
    examples = pairs["seed 1"].settings["examples"]
    figure.suptitle(f"Unbiased CKA, {examples} test images; the best match of every row is outlined")
    save_figure(figure, out, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser, images=60_000, epochs=3)
    parser.add_argument("--examples", type=int, default=2000, help="test images that layers are compared on")
    parser.add_argument("--kernel", choices=["linear", "rbf"], default="linear")
    parser.add_argument("--out", type=Path, help="write a picture and its numbers")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.images, arguments.epochs, arguments.examples = min(arguments.images, 6000), 3, 500
    data = load(arguments)
    networks = [trained(data, seed, arguments.epochs) for seed in (arguments.seed, arguments.seed + 1)]
    torch.manual_seed(arguments.seed + 2)
    networks.append(classifier(WIDTH))

    images = data.test_images[: arguments.examples]
    pairs = {
        name: compared(networks[0], other, images, arguments.kernel)
        for name, other in zip(("seed 1", "untrained"), networks[1:], strict=True)
    }
    found = {name: layer_correspondence(pair.matrix) for name, pair in pairs.items()}
    for name, correspondence in found.items():
        diagonal = pairs[name].matrix.diagonal()
        print(f"{name}: {correspondence}, diagonal {diagonal.min():.2f} to {diagonal.max():.2f}")
    if arguments.out:
        draw(pairs, found, arguments.out)
        numbers = {
            name: {
                "rows": int(correspondence.rows.sum()),
                "columns": int(correspondence.columns.sum()),
                "matrix": pairs[name].matrix.round(4).tolist(),
            }
            for name, correspondence in found.items()
        }
        save_numbers(arguments, {"data": data.name, "layers": NAMES} | numbers)


if __name__ == "__main__":
    main()

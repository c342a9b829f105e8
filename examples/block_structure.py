"""Wide and deep networks have blocks of similar layers; what do those layers do?

Residual networks of one stage are trained on few images: a small one, a deep one and a wide one. Each is
compared with itself, layer by layer (Nguyen, Raghu and Kornblith 2021). Below every matrix are the share of a
layer's variance that its first principal component explains, and the test accuracy without that layer, which
a residual network allows without further training. Then runs of the same number of neighbouring layers are
removed inside the largest block and outside it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import torch
from _fashion import MEAN, STD, Data, accuracy, add_arguments, fit_classifier, load, outputs
from _networks import activations_of
from _record import save_numbers
from gramless.analysis import Block, dominant_component, largest_block
from gramless.plot import MARK, heatmap, save_figure
from gramless.torch import compare_models
from torch import Tensor, nn

matplotlib.use("agg")
NETWORKS = {"small": (16, 8), "deep": (16, 32), "wide": (64, 8)}  # channels, residual layers
THRESHOLD = 0.95  # the least CKA of any two layers of a block


class Residual(nn.Module):
    """x + conv(ReLU(BN(conv(ReLU(BN(x))))))"""

    def __init__(self, width: int) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for _ in range(2):
            parts += [nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1, bias=False)]
        self.change = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.change(x)


class ResidualNetwork(nn.Module):
    """Two strided convolutions, then residual layers at 7 x 7, mean, classes."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 2, 1, bias=False),
        )
        self.layers = nn.ModuleList(Residual(width) for _ in range(layers))
        self.head = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU())
        self.classes = nn.Linear(width, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(((images - MEAN) / STD).contiguous(memory_format=torch.channels_last))
        for layer in self.layers:
            x = layer(x)
        return self.classes(self.head(x).mean(dim=(2, 3)))


@contextmanager
def without(model: ResidualNetwork, removed: Sequence[int]) -> Iterator[ResidualNetwork]:
    """The network in which these residual layers return their inputs."""
    layers = model.layers
    model.layers = nn.ModuleList(layer for i, layer in enumerate(layers) if i not in removed)
    yield model
    model.layers = layers


def accuracy_without(model: ResidualNetwork, data: Data, removed: Sequence[int]) -> float:
    with without(model, removed):
        return accuracy(outputs(model, data.test_images), data.test_labels)


def trained(name: str, data: Data, epochs: int, seed: int) -> ResidualNetwork:
    width, layers = NETWORKS[name]
    torch.manual_seed(seed)
    model = ResidualNetwork(width, layers).to(memory_format=torch.channels_last)
    started = time.perf_counter()
    fit_classifier(model, data, epochs=epochs, batch=64, learning_rate=2e-3)
    print(f"{name}: {layers} layers of {width} channels, {time.perf_counter() - started:.0f} s", end="")
    return model


def runs_removed(model: ResidualNetwork, data: Data, block: Block, length: int) -> dict[str, list[float]]:
    """Accuracies without `length` neighbouring layers, all of them inside the block or all outside it."""
    inside, outside = set(range(block.start, block.stop)), set(range(len(model.layers)))
    outside -= inside
    found: dict[str, list[float]] = {"inside": [], "outside": []}
    for start in range(len(model.layers) - length + 1):
        run = set(range(start, start + length))
        for where, members in (("inside", inside), ("outside", outside)):
            if run <= members:
                found[where].append(accuracy_without(model, data, sorted(run)))
    return found


def examined(name: str, data: Data, arguments: argparse.Namespace) -> dict[str, Any]:
    model = trained(name, data, arguments.epochs, arguments.seed)
    whole = accuracy_without(model, data, [])
    images = data.test_images[: arguments.examples]
    pair = compare_models(
        model, None, images.split(250), layers=Residual, pool="none", kernel=arguments.kernel
    )
    block = largest_block(pair.matrix, THRESHOLD)
    activations = activations_of(model, list(model.layers), images)
    removals = [accuracy_without(model, data, [layer]) for layer in range(len(model.layers))]
    length = max(1, (block.stop - block.start) // 3)
    runs = runs_removed(model, data, block, length)
    print(f": {whole:.2%}; largest block {block.start}..{block.stop - 1}", end="")
    for where, values in runs.items():
        if values:
            mean, worst = sum(values) / len(values), min(values)
            print(f"; {length} layers {where} it removed: {mean:.2%} (worst {worst:.2%})", end="")
    print(flush=True)
    return {
        "matrix": pair.matrix,
        "block": block,
        "accuracy": whole,
        "first_component": [dominant_component(rows).fraction for rows in activations],
        "accuracy_without": removals,
        "run_length": length,
        "accuracy_without_runs": runs,
    }


def draw(found: dict[str, dict[str, Any]], out: Path) -> None:
    from matplotlib import pyplot
    from matplotlib.patches import Rectangle

    figure, axes = pyplot.subplots(
        2, len(found), figsize=(4.4 * len(found), 6.6), height_ratios=(2, 1), layout="constrained"
    )
    for (name, entry), (top, bottom) in zip(found.items(), axes.T, strict=True):
        width, layers = NETWORKS[name]
        block = entry["block"]
        title = f"{name}: {layers} layers of {width} channels, {entry['accuracy']:.1%}"
        heatmap(
            entry["matrix"],
            ax=top,
            title=title,
            label_a="layer",
            label_b="layer",
            annotate=False,
            colorbar=False,
            vmin=0,
            vmax=1,
        )
        corner, side = (block.start - 0.5, block.start - 0.5), block.stop - block.start
        top.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=MARK, linewidth=1.8))
        places = range(layers)
        bottom.axvspan(block.start - 0.5, block.stop - 0.5, color=MARK, alpha=0.15, lw=0)
        bottom.axhline(entry["accuracy"], color="0.6", lw=0.8)
        bottom.plot(
            places, entry["accuracy_without"], "o-", ms=3, color="#c44e52", label="accuracy without the layer"
        )
        label = "share of its variance in the first component"
        bottom.plot(places, entry["first_component"], "--", color="#4c72b0", label=label)
        bottom.set(xlabel="layer", ylim=(0, 1), xlim=(-0.5, layers - 0.5))
        bottom.grid(alpha=0.3)
    figure.colorbar(axes[0, 0].images[0], ax=axes[0], label="unbiased linear CKA", aspect=30)
    lines, labels = axes[1, 0].get_legend_handles_labels()
    figure.legend(lines, labels, frameon=False, loc="outside lower center", ncols=2)
    figure.suptitle("CKA of every two layers; the largest block is outlined, and shaded below")
    save_figure(figure, out, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser, images=2500, epochs=12)
    parser.add_argument("--examples", type=int, default=1000, help="number of test images for CKA")
    parser.add_argument("--tried", type=int, default=2000, help="number of test images for accuracies")
    parser.add_argument("--kernel", choices=["linear", "rbf"], default="linear")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--out", type=Path, help="write a figure and its numbers")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.images, arguments.epochs = min(arguments.images, 300), 1
        arguments.examples, arguments.tried = 200, 200
    data = load(arguments)
    tried = data._replace(
        test_images=data.test_images[: arguments.tried], test_labels=data.test_labels[: arguments.tried]
    )
    print(f"{data.name}: {len(data.train_images)} images to train on, {len(tried.test_labels)} to test on")
    found = {name: examined(name, tried, arguments) for name in arguments.networks}
    if arguments.out:
        draw(found, arguments.out)
        numbers = {
            name: entry | {"matrix": entry["matrix"].round(4).tolist(), "block": list(entry["block"])}
            for name, entry in found.items()
        }
        save_numbers(arguments, {"data": data.name} | numbers)


if __name__ == "__main__":
    main()

"""When is a network too deep? Layers that are all similar, and the dominant component behind them.

Plain convolutional networks of 4 to 32 layers, without residual connections, are trained from several seeds,
for a shorter and a longer time. Each is compared with itself, layer by layer (figure 3 of
Kornblith et al. 2019): in the deepest, most layers are similar, and a linear probe gains nothing inside the
block. Nguyen, Raghu and Kornblith (2021, 2022) find that one dominant principal component causes such a
block, and that few images carry it, different ones for each seed. So this study measures the component's
share of the variance, the share of few images in it, the block without it, and the similarity of the layers
of two seeds inside and outside the block.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path
from typing import Any

import gramless as gl
import matplotlib
import numpy as np
import numpy.typing as npt
import torch
from _fashion import CLASSES, MEAN, STD, Data, accuracy, add_arguments, fit_classifier, load, outputs
from _networks import activations_of, kept_network, one_thread
from _pathology import draw
from _study import Arrays, add_study_arguments, kept_arrays, kept_numbers, run_study
from gramless.analysis import dominant_component, largest_block
from torch import Tensor, nn

matplotlib.use("agg")
WIDTH, DEPTHS = 16, (4, 8, 16, 32)
THRESHOLD = 0.9  # the least CKA of any two layers of a block
FEW, MANY = 0.01, 0.1  # shares of the images
# Kornblith et al. 2019, figure 3, on CIFAR-10: the networks of 1, 2, 4 and 8 times the depth, in per cent.
PUBLISHED = dict(zip(map(str, DEPTHS), (94.1, 95.0, 93.2, 91.9), strict=True))


class Plain(nn.Module):
    """Two strided convolutions, then `depth` times conv-BN-ReLU at 7 x 7, mean, classes."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *(nn.Conv2d(1, WIDTH, 3, 2, 1), nn.BatchNorm2d(WIDTH), nn.ReLU()),
            *(nn.Conv2d(WIDTH, WIDTH, 3, 2, 1), nn.BatchNorm2d(WIDTH), nn.ReLU()),
        )
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 3, 1, 1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU())
            for _ in range(depth)
        )
        self.classes = nn.Linear(WIDTH, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem((images - MEAN) / STD)
        for layer in self.layers:
            x = layer(x)
        return self.classes(x.mean(dim=(2, 3)))


def settings_of(data: Data, depth: int, epochs: int, seed: int) -> dict[str, Any]:
    images = len(data.train_images)
    return {"data": data.name, "images": images, "depth": depth, "epochs": epochs, "seed": seed}


def trained(data: Data, depth: int, epochs: int, seed: int, keep: Path | None) -> nn.Module:
    def train(model: nn.Module) -> None:
        started = time.process_time()
        torch.manual_seed(seed)
        model.load_state_dict(Plain(depth).state_dict())
        fit_classifier(model, data, epochs=epochs, batch=64, learning_rate=2e-3)
        seconds = time.process_time() - started
        print(f"{depth} layers, {epochs} epochs, seed {seed}: {seconds:.0f} CPU s", flush=True)

    settings = settings_of(data, depth, epochs, seed)
    return kept_network(keep, f"network-{depth}-{epochs}-{seed}", settings, Plain(depth), train)


def layers_of(
    data: Data, depth: int, epochs: int, seed: int, arguments: argparse.Namespace
) -> tuple[Arrays, dict[str, Any]]:
    """Activations (n, features) of each layer; the accuracy of the network and of a probe on each layer."""
    model = trained(data, depth, epochs, seed, arguments.keep)
    settings = settings_of(data, depth, epochs, seed) | {"examples": arguments.examples}
    settings |= {"fitted": arguments.fitted}
    modules = list(model.layers)  # type: ignore[arg-type]
    images = data.test_images[: arguments.examples]

    def activations() -> Arrays:
        return {str(i): rows for i, rows in enumerate(activations_of(model, modules, images))}

    layers = kept_arrays(arguments.keep, f"activations-{depth}-{epochs}-{seed}", settings, activations)

    def accuracies() -> dict[str, Any]:
        to_fit = slice(arguments.fitted)
        seen = activations_of(model, modules, data.train_images[to_fit])
        labels = data.train_labels[to_fit].numpy(), data.test_labels[: len(images)].numpy()
        return {
            "accuracy": accuracy(outputs(model, data.test_images), data.test_labels),
            "probe": [ridge(rows, layers[str(i)], *labels) for i, rows in enumerate(seen)],
        }

    return layers, kept_numbers(arguments.keep, f"accuracy-{depth}-{epochs}-{seed}", settings, accuracies)


def ridge(
    x: npt.NDArray[Any], x_test: npt.NDArray[Any], labels: npt.NDArray[Any], labels_test: npt.NDArray[Any]
) -> float:
    """Test accuracy of a ridge regression onto the classes."""
    mean = x.mean(axis=0, dtype=np.float64)
    rows, targets = x - mean, np.eye(CLASSES)[labels] - 1 / CLASSES
    penalty = 1e-3 * np.einsum("ij,ij->", rows, rows) / rows.shape[1]
    weights = np.linalg.solve(rows.T @ rows + penalty * np.eye(rows.shape[1]), rows.T @ targets)
    return float((((x_test - mean) @ weights).argmax(axis=1) == labels_test).mean())


def described(layers: Arrays) -> dict[str, Any]:
    """One network with itself, with the first component of its layers and without it."""
    rows = [layers[str(i)] for i in range(len(layers))]
    components = [dominant_component(x) for x in rows]
    matrices = {"before": gl.cka_matrix(rows)}
    matrices["after"] = gl.cka_matrix([c.remove(x) for c, x in zip(components, rows, strict=True)])
    blocks = {name: largest_block(matrix, THRESHOLD) for name, matrix in matrices.items()}
    middle = components[(blocks["before"].start + blocks["before"].stop) // 2]
    inside = slice(*blocks["before"])
    n = len(middle.scores)
    return {
        "matrices": {name: matrix.round(3).tolist() for name, matrix in matrices.items()},
        "blocks": {name: [*block] for name, block in blocks.items()},
        "alike in the block": {name: float(m[inside, inside].mean()) for name, m in matrices.items()},
        "fraction": [component.fraction for component in components],
        "share of few": middle.share_of(int(FEW * n)),
        "share of many": middle.share_of(int(MANY * n)),
        "largest": np.argsort(-(middle.scores**2), kind="stable")[: int(MANY * n)].tolist(),
    }


def between(first: Arrays, second: Arrays, ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """CKA of corresponding layers of two seeds, its mean over both blocks and at the ends, and the share of
    the images that carry the component in both.
    """
    depth = len(first)
    matrix = gl.cka_matrix([first[str(i)] for i in range(depth)], [second[str(i)] for i in range(depth)])
    alike = matrix.diagonal()
    common = set(ours["largest"]) & set(theirs["largest"])
    return {
        "diagonal": alike.round(4).tolist(),
        "in the block": float(
            np.mean([alike[slice(*of["blocks"]["before"])].mean() for of in (ours, theirs)])
        ),
        "at the ends": float((alike[0] + alike[-1]) / 2),
        "images": len(common) / len(ours["largest"]),
    }


def of_depth(data: Data, depth: int, epochs: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """All seeds of one depth and training time."""
    layers, networks = {}, {}
    for seed in arguments.seeds:
        layers[seed], numbers = layers_of(data, depth, epochs, seed, arguments)
        networks[str(seed)] = numbers | described(layers[seed])
        found = networks[str(seed)]
        print(
            f"{depth} layers, {epochs} epochs, seed {seed}: {found['accuracy']:.1%}, blocks "
            f"{found['blocks']}, first component up to {max(found['fraction']):.2f}",
            flush=True,
        )
    pairs = [
        between(layers[a], layers[b], networks[str(a)], networks[str(b)])
        for a, b in itertools.combinations(arguments.seeds, 2)
    ]
    return {"networks": networks, "pairs": pairs}


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    one_thread()
    data = load(arguments)
    print(f"{data.name}: {len(data.train_images)} images to train on, {len(data.test_labels)} to test on")
    found: dict[str, dict[str, Any]] = {}
    for epochs in arguments.times:
        depths = arguments.depths if epochs == arguments.times[0] else arguments.again or arguments.depths
        found[str(epochs)] = {str(depth): of_depth(data, depth, epochs, arguments) for depth in depths}
    return {"data": data.name, "threshold": THRESHOLD, "published": PUBLISHED, "epochs": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser, images=5000, epochs=6)
    add_study_arguments(parser, "of the networks; one, and with --full three")
    parser.add_argument(
        "--times",
        type=int,
        nargs="+",
        help="epochs (default: --epochs; with --full also a third and three times of it)",
    )
    parser.add_argument("--depths", type=int, nargs="+", default=list(DEPTHS), help="layers")
    parser.add_argument(
        "--again", type=int, nargs="+", help="depths for all times but the first (default: --depths)"
    )
    parser.add_argument("--examples", type=int, default=500, help="number of test images for CKA")
    parser.add_argument("--fitted", type=int, default=2000, help="number of images for fitting probes")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.images, arguments.epochs, arguments.depths = min(arguments.images, 1000), 4, [4, 8]
        arguments.examples, arguments.fitted = 200, 500
    arguments.seeds = arguments.seeds or [arguments.seed + i for i in range(3 if arguments.full else 1)]
    arguments.times = arguments.times or [
        arguments.epochs,
        *([arguments.epochs // 3, 3 * arguments.epochs] if arguments.full else []),
    ]
    run_study(arguments, measured, draw)


if __name__ == "__main__":
    main()

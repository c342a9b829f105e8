"""Are corresponding layers of networks from different seeds most similar? Kornblith et al. 2019, table 2.

A convolutional network of ten layers is trained on Fashion-MNIST from several seeds. Every layer of one
network is compared with every layer of another on test images that neither was trained on. A useful
similarity measure is largest between a layer and its counterpart. The study counts how often it is, over all
pairs of networks, for linear and RBF CKA, and for CCA and SVCCA, which fail in the paper. The control is the
same network before training, which has the same architecture and the same images.
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
from _cca import basis_of, squared_correlations
from _fashion import Data, accuracy, add_arguments, classifier, fit_classifier, load, outputs
from _networks import activations_of, conv_layers, kept_network, one_thread
from _study import add_study_arguments, kept_arrays, run_study
from gramless.analysis import layer_correspondence
from gramless.plot import heatmap, save_figure
from torch import nn

matplotlib.use("agg")
WIDTH = 16
NAMES = [*(f"conv{i}" for i in range(1, 9)), "mean", "logits"]
Matrix = npt.NDArray[np.float64]
# The paper's table 2, in per cent: ten networks of ten layers on CIFAR-10, without the logits. CCA and SVCCA
# are R^2_CCA; with the mean correlation they have 1.4 and 9.9. RBF: the bandwidth / the median distance.
PUBLISHED = {
    "CCA": 10.6,
    "SVCCA": 15.1,
    "linear CKA": 99.3,
    "RBF CKA 0.2": 80.6,
    "RBF CKA 0.4": 99.1,
    "RBF CKA 0.8": 99.3,
}


def settings_of(data: Data, arguments: argparse.Namespace) -> dict[str, Any]:
    return {"images": len(data.train_images), "epochs": arguments.epochs, "data": data.name}


def network(data: Data, seed: int, arguments: argparse.Namespace) -> nn.Module:
    """The network trained from this seed, or read from its file."""

    def train(model: nn.Module) -> None:
        started = time.perf_counter()
        torch.manual_seed(seed)
        model.load_state_dict(classifier(WIDTH).state_dict())
        fit_classifier(model, data, epochs=arguments.epochs)
        print(f"seed {seed}: trained in {time.perf_counter() - started:.0f} s", flush=True)

    settings = settings_of(data, arguments) | {"seed": seed}
    return kept_network(arguments.keep, f"network{seed}", settings, classifier(WIDTH), train)


def layers_of(
    model: nn.Module, name: str, data: Data, arguments: argparse.Namespace
) -> list[npt.NDArray[np.float32]]:
    """The activations (n, features) of the ten layers, computed or read from their file."""
    images = data.test_images[: arguments.examples]
    found = kept_arrays(
        arguments.keep,
        f"activations-{name}",
        settings_of(data, arguments) | {"examples": len(images)},
        lambda: dict(zip(NAMES, activations_of(model, conv_layers(model), images), strict=True)),
    )
    return [found[layer] for layer in NAMES]


def compared(networks: list[list[Any]], pairs: list[tuple[int, int]]) -> dict[str, list[Matrix]]:
    """Each measure, of every layer of one network with every layer of another, for each pair of networks."""
    bases = [[basis_of(layer) for layer in layers] for layers in networks]
    of_cca = [squared_correlations(bases[i], bases[j]) for i, j in pairs]
    found = {name: [one[name] for one in of_cca] for name in ("CCA", "SVCCA")}
    size, layers = len(NAMES), [layer for layers in networks for layer in layers]
    for name in PUBLISHED:
        if name not in found:
            kernel: Any = "linear" if name == "linear CKA" else gl.RBF(scale=float(name.split()[-1]))
            every = gl.cka_matrix(layers, kernel=kernel)
            blocks = [(slice(i * size, (i + 1) * size), slice(j * size, (j + 1) * size)) for i, j in pairs]
            found[name] = [every[block] for block in blocks]
    return found


def summary(matrices: list[Matrix], pairs: list[tuple[int, int]]) -> dict[str, Any]:
    """The share of layers that are most similar to their counterpart, without the logits, as in the paper."""
    found = layer_correspondence(*(matrix[:-1, :-1] for matrix in matrices), networks=pairs)
    several = len({network for pair in pairs for network in pair}) > 2
    return {
        "found": np.concatenate([found.rows, found.columns], axis=1).mean(axis=1).tolist(),
        "interval": found.interval() if several else None,
        "mean matrix": np.mean(matrices, axis=0).round(4).tolist(),
        "spread of matrices": (np.std(matrices, axis=0, ddof=1).round(4).tolist() if several else None),
    }


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    one_thread()
    data, seeds = load(arguments), arguments.seeds
    networks = [network(data, seed, arguments) for seed in seeds]
    right = [accuracy(outputs(model, data.test_images), data.test_labels) for model in networks]
    print(f"{data.name}: accuracy of the networks {', '.join(f'{share:.1%}' for share in right)}")
    torch.manual_seed(max(seeds) + 1)
    named = [*zip(map(str, seeds), networks, strict=True), (f"untrained-{max(seeds) + 1}", classifier(WIDTH))]
    layers = [layers_of(model, name, data, arguments) for name, model in named]
    pairs = list(itertools.combinations(range(len(seeds)), 2))
    indices = {name: summary(matrices, pairs) for name, matrices in compared(layers[:-1], pairs).items()}
    untrained = gl.cka_matrix(layers[0], layers[-1])
    indices["untrained"] = summary([untrained], [(0, len(seeds))])
    for name, found in indices.items():
        share = np.mean(found["found"])
        interval = found["interval"] and f", {found['interval'][0]:.1%} to {found['interval'][1]:.1%}"
        print(f"{name}: {share:.1%} of layers find their counterpart{interval or ''}", flush=True)
    return {
        "data": data.name,
        "layers": NAMES,
        "seeds": seeds,
        "accuracy": right,
        "pairs": pairs,
        "published": PUBLISHED,
        "indices": indices,
    }


def draw(numbers: dict[str, Any], out: Path) -> None:
    """A matrix for each measure, as in figure 2 of the paper, and the shares of matching layers."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 4, figsize=(17, 8.4))
    for ax, (name, index) in zip(axes.flat, numbers["indices"].items(), strict=False):
        title = "linear CKA with a network before training" if name == "untrained" else name
        title += f": {np.mean(index['found']):.0%}"
        heatmap(index["mean matrix"], NAMES, NAMES, ax, title=title, annotate=False, colorbar=False)
    figure.set_layout_engine("constrained")  # not earlier: every heatmap would lay out the whole figure
    figure.colorbar(axes[0, 0].images[0], ax=axes, label="similarity of two layers", aspect=40, pad=0.02)
    bars, published = axes.flat[-1], numbers["published"]
    places = np.arange(len(published))
    found = [numbers["indices"][name] for name in published]
    shares = [100 * np.mean(one["found"]) for one in found]
    reach = [
        [abs(100 * one["interval"][end] - share) for one, share in zip(found, shares, strict=True)]
        for end in (0, 1)
        if found[0]["interval"]
    ]
    bars.bar(places - 0.2, shares, 0.4, yerr=reach or None, capsize=3, label="here")
    bars.bar(places + 0.2, list(published.values()), 0.4, label="published", color="0.6")
    bars.set(ylabel="layers that find their counterpart, %", ylim=(0, 105))
    bars.set_xticks(places, list(published), rotation=35, ha="right")
    bars.legend(frameon=False, loc="upper left")
    figure.suptitle(
        f"{numbers['data']}, {len(numbers['seeds'])} seeds, {numbers['options']['examples']} images, mean"
        f" over {len(numbers['pairs'])} pairs of networks; in per cent, layers that find their counterpart"
    )
    save_figure(figure, out, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser, images=4000, epochs=3)
    add_study_arguments(parser, "of the networks; 0 and 1, and with --full 0 to 4")
    parser.add_argument("--examples", type=int, default=500, help="number of test images for CKA")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.images, arguments.examples = min(arguments.images, 2000), 200
    arguments.seeds = arguments.seeds or [arguments.seed + i for i in range(5 if arguments.full else 2)]
    run_study(arguments, measured, draw)


if __name__ == "__main__":
    main()

"""Which negatives does SimCLR need? Hard and easy ones left out by rank (Cai et al. 2020).

Each anchor's negatives are ranked by similarity. The paper trains MoCo v2 on ImageNet and finds the hardest
5 % necessary and sufficient for nearly full accuracy, the easiest 95 % neither, and the hardest 0.1 %
unnecessary and sometimes harmful. Here SimCLR is trained on Fashion-MNIST from several seeds, each time
without other ranks of negatives, and a linear probe measures the accuracy of the encoder. Of 510 negatives 51
have the anchor's class, in ImageNet one in a thousand; their share of the hardest ones is counted as well.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import gramless as gl
import matplotlib
import numpy as np
import numpy.typing as npt
import torch
from _contrastive import Contrastive, pretrain
from _fashion import Data, add_arguments, linear_probe, load, outputs, tested_on
from _figures import draw_band, draw_means, seeds
from _networks import from_seed, one_thread
from _study import add_study_arguments, kept_arrays, kept_numbers, run_study
from gramless.plot import save_figure
from torch import Tensor

matplotlib.use("agg")
WIDTH, DIMENSIONS, TEMPERATURE, BATCH = 8, 64, 0.2, 256
# The shares that are left out of the hardest and of the easiest negatives, in the order of the figure.
RANKS: dict[str, tuple[float, float]] = {
    "all": (0.0, 0.0),
    "without the hardest 0.1 %": (0.001, 0.0),
    "without the hardest 5 %": (0.05, 0.0),
    "without the hardest 20 %": (0.2, 0.0),
    "the hardest 5 % alone": (0.0, 0.95),
    "the hardest 5 % but for 0.1 %": (0.001, 0.95),
    "the easiest 5 % alone": (0.95, 0.0),
}
QUICK = "all", "the hardest 5 % alone", "the easiest 5 % alone"
UNTRAINED = "untrained"
SHARES = 0.001, 0.01, 0.05, 0.2, 0.5, 1.0  # shares of the hardest negatives whose classes are counted


def settings_of(data: Data, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    return {"data": data.name, "images": len(data.train_images), "epochs": arguments.epochs, "seed": seed}


def trained(data: Data, ranks: str, seed: int, arguments: argparse.Namespace) -> Contrastive:
    """The network trained from this seed with these ranks of negatives, or read from its file."""

    hardest, easiest = RANKS[ranks]

    def loss(a: Tensor, b: Tensor) -> Tensor:
        return gl.nt_xent(a, b, temperature=TEMPERATURE, exclude_hardest=hardest, exclude_easiest=easiest)

    return from_seed(
        arguments.keep,
        f"{ranks}-{seed}",
        settings_of(data, seed, arguments) | {"left out": [*RANKS[ranks]]},
        lambda: Contrastive(WIDTH, DIMENSIONS),
        lambda model: pretrain(model, data.train_images, loss, epochs=arguments.epochs, batch=BATCH),
    )


def own_class(projections: npt.NDArray[Any], labels: npt.NDArray[Any]) -> list[float]:
    """For each of SHARES of the hardest negatives, the share with the anchor's class, from one view each."""
    units = projections / np.linalg.norm(projections, axis=1, keepdims=True)
    alike = np.einsum("id,jd->ij", units, units)
    np.fill_diagonal(alike, -np.inf)  # ranked last, because it is not a negative
    order = np.argsort(-alike, axis=1, kind="stable")[:, : len(units) - 1]
    same = labels[order] == labels[:, None]
    return [float(same[:, : max(1, int(share * order.shape[1]))].mean()) for share in SHARES]


def of_seed(data: Data, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """The probe for each choice of ranks, and the classes of the hardest negatives of the plain network."""
    torch.manual_seed(seed)
    probes, networks = {UNTRAINED: linear_probe(Contrastive(WIDTH, DIMENSIONS).encoder, data)}, {}
    for ranks in QUICK if arguments.quick else RANKS:
        started = time.perf_counter()
        networks[ranks] = trained(data, ranks, seed, arguments)
        probes[ranks] = linear_probe(networks[ranks].encoder, data)
        print(f"seed {seed}, {ranks}: {probes[ranks]:.2%}, {time.perf_counter() - started:.0f} s", flush=True)
    plain, images = networks["all"], data.test_images[:500]
    settings = settings_of(data, seed, arguments) | {"examples": len(images)}
    kept = kept_arrays(
        arguments.keep, f"projections-{seed}", settings, lambda: {"rows": outputs(plain, images).numpy()}
    )
    return {"probes": probes, "own class": own_class(kept["rows"], data.test_labels[:500].numpy())}


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    one_thread()
    data, found = tested_on(load(arguments), arguments.tested), {}
    print(f"{data.name}: {len(data.train_images)} images to train on, {len(data.test_labels)} to test on")
    for seed in arguments.seeds:
        settings = settings_of(data, seed, arguments) | {"tested": len(data.test_labels)}
        found[str(seed)] = kept_numbers(
            arguments.keep, f"seed-{seed}", settings, lambda seed=seed: of_seed(data, seed, arguments)
        )
    images = len(data.train_images)
    return {"data": data.name, "images": images, "shares": SHARES, "left out": RANKS, "seeds": found}


def draw(numbers: dict[str, Any], out: Path) -> None:
    """The probe for each choice of ranks, with a point for each seed, and the hardest negatives' classes."""
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(13, 4.6), width_ratios=(1.7, 1), layout="constrained"
    )
    runs = list(numbers["seeds"].values())
    names = list(runs[0]["probes"])
    values = [[run["probes"][name] for run in runs] for name in names]
    draw_means(left, names, values, ["0.6" if name == UNTRAINED else "#12857a" for name in names])
    left.set(xlabel="linear probe, % of test images", title="Negatives that the loss has")
    own = 100 * np.array([run["own class"] for run in runs])
    draw_band(right, [100 * share for share in numbers["shares"]], own, colour="#c44e52", marker="o")
    right.axhline(own.mean(axis=0)[-1], color="0.6", ls=":", label="of all negatives")
    right.set(
        xscale="log", ylim=(0, 100), xlabel="of the negatives, the hardest %", ylabel="%",
        title="Hard negatives of the anchor's own class",
    )  # fmt: skip
    right.legend(frameon=False)
    right.grid(alpha=0.3)
    figure.suptitle(f"SimCLR on {numbers['data']}, {numbers['images']} images; {seeds(len(runs))}")
    save_figure(figure, out, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser, images=4000, epochs=4)
    add_study_arguments(parser, "of the networks; one, and with --full two")
    parser.add_argument("--tested", type=int, default=3000, help="number of test images for the probe")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.images, arguments.epochs = min(arguments.images, 2048), 4
    arguments.seeds = arguments.seeds or [arguments.seed + i for i in range(2 if arguments.full else 1)]
    run_study(arguments, measured, draw)


if __name__ == "__main__":
    main()

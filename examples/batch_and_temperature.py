"""Which batch size and temperature does SimCLR need? A linear probe over nine combinations.

Chen et al. 2020, arXiv:2002.05709, figure 9 and table 5: with few epochs larger batches are better, because
an anchor has more negatives, and longer training closes the gap; of the temperatures 0.05, 0.1 and 1 the
middle one is best. Here every network sees all images equally often, so a larger batch has fewer steps. The
learning rate grows with the square root of the batch, as in the paper for small batches.
"""

from __future__ import annotations

import argparse
import time
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from _contrastive import Contrastive, pretrain
from _fashion import Data, add_arguments, linear_probe, load, tested_on
from _figures import draw_band, seeds
from _networks import from_seed, one_thread
from _study import add_study_arguments, kept_numbers, run_study
from gramless.plot import save_figure
from gramless.torch import NTXentLoss

matplotlib.use("agg")
WIDTH, DIMENSIONS = 8, 64
BATCHES, TEMPERATURES = (32, 128, 512), (0.05, 0.1, 1.0)
RATE, RATE_BATCH = 3e-3, 128  # the learning rate for a batch of this size
COLOURS = "#0b3d35", "#12857a", "#c44e52"


def network() -> Contrastive:
    return Contrastive(WIDTH, DIMENSIONS)


def settings_of(data: Data, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    return {"data": data.name, "images": len(data.train_images), "epochs": arguments.epochs, "seed": seed}


def probe_of(data: Data, batch: int, temperature: float, seed: int, arguments: argparse.Namespace) -> float:
    """The linear probe on one network, which is trained from this seed or read from its file."""
    started, loss = time.process_time(), NTXentLoss(temperature=temperature)
    rate = RATE * (batch / RATE_BATCH) ** 0.5
    model = from_seed(
        arguments.keep,
        f"{batch}-{temperature}-{seed}",
        settings_of(data, seed, arguments) | {"batch": batch, "temperature": temperature},
        network,
        lambda model: pretrain(
            model, data.train_images, loss, epochs=arguments.epochs, batch=batch, learning_rate=rate
        ),
    )
    probe = linear_probe(model.encoder, data)
    seconds = time.process_time() - started
    print(
        f"seed {seed}, batch {batch}, temperature {temperature}: {probe:.2%}, {seconds:.0f} CPU s", flush=True
    )
    return probe


def of_seed(data: Data, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Probes (batches, temperatures), and the probe on the untrained encoder."""
    torch.manual_seed(seed)
    untrained = linear_probe(network().encoder, data)
    batches, temperatures = arguments.batches, arguments.temperatures
    probes = [probe_of(data, *each, seed, arguments) for each in product(batches, temperatures)]
    return {"untrained": untrained, "probes": np.reshape(probes, (len(batches), -1)).tolist()}


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    one_thread()
    data, found = tested_on(load(arguments), arguments.tested), {}
    images = len(data.train_images)
    print(f"{data.name}: {images} images to train on, {len(data.test_labels)} to test on")
    chosen = {"batches": [*arguments.batches], "temperatures": [*arguments.temperatures]}
    for seed in arguments.seeds:
        settings = settings_of(data, seed, arguments) | chosen | {"tested": len(data.test_labels)}
        found[str(seed)] = kept_numbers(
            arguments.keep, f"seed-{seed}", settings, lambda seed=seed: of_seed(data, seed, arguments)
        )
    return {"data": data.name, "images": images, "seeds": found} | chosen


def draw(numbers: dict[str, Any], out: Path) -> None:
    """The probe over the batch size: a line for each temperature, with a band for the range of the seeds."""
    from matplotlib import pyplot

    figure, ax = pyplot.subplots(figsize=(8, 4.4), layout="constrained")
    runs = list(numbers["seeds"].values())
    probes = 100 * np.array([run["probes"] for run in runs])  # (seeds, batches, temperatures)
    batches = numbers["batches"]
    for i, temperature in enumerate(numbers["temperatures"]):
        label, colour = f"temperature {temperature}", COLOURS[i % len(COLOURS)]
        draw_band(ax, batches, probes[:, :, i], colour=colour, marker="o", label=label)
    untrained = 100 * np.mean([run["untrained"] for run in runs])
    ax.axhline(untrained, color="0.6", ls=":", label="untrained")
    ax.set_xscale("log")
    ax.set_xticks(batches, [str(batch) for batch in batches], minor=False)
    ax.minorticks_off()
    epochs = numbers["options"]["epochs"]
    ax.set(
        xlabel="images in a batch", ylabel="linear probe, % of test images",
        title=f"SimCLR on {numbers['data']}, {numbers['images']} images, {epochs} epochs; "
        f"{seeds(len(runs), 'mean, least and most')}",
    )  # fmt: skip
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    save_figure(figure, out, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser, images=2048, epochs=4)
    add_study_arguments(parser, "of the networks; one, and with --full two")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--temperatures", type=float, nargs="+", default=TEMPERATURES)
    parser.add_argument("--tested", type=int, default=2000, help="number of test images for the probe")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.images, arguments.epochs = min(arguments.images, 1024), 3
        arguments.batches, arguments.temperatures = [32, 128], [0.1, 1.0]
    arguments.seeds = arguments.seeds or [arguments.seed + i for i in range(2 if arguments.full else 1)]
    run_study(arguments, measured, draw)


if __name__ == "__main__":
    main()

"""SimCLR on Fashion-MNIST from one seed, with NT-Xent of plain torch and of gramless: the same curve.

SimCLR trains an encoder and a projection head with NT-Xent on two augmented views of every image; then a
linear probe is fitted to the frozen encoder. Training amplifies rounding errors, so a third run, plain torch
with the loss in float64, shows how much two correct losses differ. With a batch of 256 the loss is a small
part of the work, so its time and memory, forward and backward, are measured separately, for growing batches,
each in its own process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import gramless as gl
import matplotlib
import torch
from _fashion import Data, Encoder, add_arguments, augment, fit, linear_probe, load
from _record import save_numbers
from gramless.plot import save_figure
from gramless.torch import NTXentLoss
from torch import Tensor, nn
from torch.nn import functional as F

matplotlib.use("agg")
Loss = Callable[[Tensor, Tensor], Tensor]
DIMENSIONS = 128  # of the projections
COLOURS = {"plain torch": "#c44e52", "gramless": "#12857a", "plain torch, float64": "#4c72b0"}
BATCHES = [256, 512, 1024, 2048, 4096, 8192]  # plain torch needs 3.3 GB at 8192
EXACT, UNTRAINED = "plain torch, float64", "untrained"


def plain_nt_xent(temperature: float) -> Loss:
    """NT-Xent with the matrix of all similarities, as it is usually written."""

    def loss(z0: Tensor, z1: Tensor) -> Tensor:
        z = F.normalize(torch.cat([z0, z1]))  # (2N, d)
        logits = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
        return F.cross_entropy(logits, torch.arange(len(z)).roll(len(z0)))

    return loss


def exact_nt_xent(temperature: float) -> Loss:
    """NT-Xent in float64; the network stays in float32."""
    loss = plain_nt_xent(temperature)
    return lambda z0, z1: loss(z0.double(), z1.double())


LOSSES: dict[str, Callable[[float], Loss]] = {"plain torch": plain_nt_xent, "gramless": NTXentLoss}


def train(data: Data, loss: Loss, arguments: argparse.Namespace) -> tuple[list[float], nn.Module]:
    """Trains with SimCLR from the given seed; returns the loss of every step and the encoder."""
    torch.manual_seed(arguments.seed)
    encoder = Encoder()
    wide = encoder.features
    hidden = nn.Linear(wide, wide, bias=False), nn.BatchNorm1d(wide), nn.ReLU()
    head = nn.Sequential(*hidden, nn.Linear(wide, DIMENSIONS))

    def loss_of_batch(indices: Tensor) -> Tensor:
        images = data.train_images[indices]
        return loss(*head(encoder(torch.cat([augment(images), augment(images)]))).chunk(2))

    rows = len(data.train_images)
    losses = fit([encoder, head], loss_of_batch, rows=rows, epochs=arguments.epochs, batch=arguments.batch)
    return losses, encoder


def compare_training(
    data: Data, arguments: argparse.Namespace
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Trains with each loss and prints how much they differ; returns the curves and the printed numbers."""
    torch.manual_seed(arguments.seed)
    print(f"{data.name}, {len(data.train_images)} images; probe of the untrained encoder: ", end="")
    probes = {UNTRAINED: linear_probe(Encoder(), data)}
    print(f"{probes[UNTRAINED]:.2%} of {len(data.test_labels)} test images")
    curves = {}
    for name, make in (LOSSES | {EXACT: exact_nt_xent}).items():
        started = time.perf_counter()
        curves[name], encoder = train(data, make(arguments.temperature), arguments)
        seconds = time.perf_counter() - started
        probes[name] = linear_probe(encoder, data)
        first, end = curves[name][0], curves[name][-10:]
        print(
            f"{name}: loss {first:.4f} at first, {sum(end) / len(end):.4f} over the last {len(end)} "
            f"of {len(curves[name])} steps, probe {probes[name]:.2%}, {seconds:.0f} s",
            flush=True,
        )
    against_float64 = {}
    for name in LOSSES:
        differences = [abs(a - b) for a, b in zip(curves[name], curves[EXACT], strict=True)]
        first, early, most = against_float64[name] = differences[0], max(differences[:10]), max(differences)
        print(f"{name} against the loss in float64: {first:.1e} at step 1, ", end="")
        print(f"{early:.1e} in ten steps, {most:.1e} at most")
    return curves, {
        "data": data.name,
        "probes": probes,
        "against float64, at step 1, in ten, at most": against_float64,
    }


def memory(field: str) -> int:
    """VmRSS or VmHWM (its peak) of this process in bytes (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def measure_here(name: str, batch: int, temperature: float) -> dict[str, float]:
    """Seconds (the best of some calls) and peak bytes of one loss, forward and backward, in this process."""
    loss = LOSSES[name](temperature)
    views = [torch.randn(batch, DIMENSIONS, requires_grad=True) for _ in range(2)]
    loss(*[view[:8] for view in views]).backward()  # loads libraries and starts threads
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak of the memory
    before, durations = memory("VmRSS"), []
    while sum(durations) < 0.5 or len(durations) < 3:
        started = time.perf_counter()
        loss(*views).backward()
        durations.append(time.perf_counter() - started)
    return {"seconds": min(durations), "bytes": max(0, memory("VmHWM") - before)}


def measure_apart(name: str, batch: int, temperature: float) -> dict[str, float]:
    """`measure_here` in its own process; NaN if this did not finish, most likely for lack of memory."""
    options = ["--temperature", str(temperature), "--measure", name, str(batch)]
    done = subprocess.run([sys.executable, __file__, *options], capture_output=True, text=True)
    if done.returncode == 0:
        return dict(json.loads(done.stdout))
    reason = (done.stderr.strip().splitlines() or ["killed"])[-1]
    print(f"{name} did not finish at batch {batch}: {reason[:80]}")
    return {"seconds": float("nan"), "bytes": float("nan")}


def measure_losses(batches: list[int], temperature: float) -> dict[str, dict[int, dict[str, float]]]:
    """Measures time and memory of both losses for every batch, and prints them as a table."""
    results: dict[str, dict[int, dict[str, float]]] = {name: {} for name in LOSSES}
    print(f"\nthe loss alone, forward + backward, 2N x {DIMENSIONS}, threads: {torch.get_num_threads()}")
    titles = [f"{name}, {unit}" for unit in ("ms", "MB") for name in LOSSES]
    print(f"{'batch N':>8}" + "".join(f"{title:>19}" for title in titles))
    for batch in batches:
        for name in LOSSES:
            results[name][batch] = measure_apart(name, batch, temperature)
        row = [results[name][batch]["seconds"] * 1e3 for name in LOSSES]
        row += [results[name][batch]["bytes"] / 1e6 for name in LOSSES]
        print(f"{batch:>8}" + "".join(f"{value:>19.1f}" for value in row), flush=True)
    return results


def draw(curves: dict[str, list[float]], results: dict[str, Any], out: Path) -> None:
    """Loss curves, then the time and the memory of the loss over the batch."""
    from matplotlib import pyplot

    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    styles = {"lw": 5, "alpha": 0.4}, {"lw": 1.5}, {"lw": 1, "ls": ":"}
    for (name, curve), style in zip(curves.items(), styles, strict=True):
        left.plot(curve, color=COLOURS[name], label=name, **style)
    left.set(title="SimCLR, the same seed", xlabel="step", ylabel="NT-Xent")
    for ax, key, scale, title in (
        (middle, "seconds", 1e3, "Time of the loss, ms"),
        (right, "bytes", 1e-6, "Peak memory of the loss, MB"),
    ):
        for name, found in results.items():
            values = [entry[key] * scale for entry in found.values()]
            ax.plot(list(found), values, "o-", color=COLOURS[name], label=name)
        ax.set(title=title, xlabel="batch N", xscale="log", yscale="log", xticks=list(found))
        ax.set_xticks(list(found), [str(batch) for batch in found], minor=False)
        ax.minorticks_off()
    for ax in (left, middle, right):
        ax.grid(alpha=0.3)
        ax.legend(frameon=False)
    save_figure(figure, out, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser, images=30_000, epochs=3)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--temperature", type=float, default=0.2)
    parser.add_argument(
        "--batches", type=int, nargs="+", default=BATCHES, help="batches for which the loss is measured"
    )
    parser.add_argument("--out", type=Path, help="write a figure and its numbers")
    parser.add_argument(
        "--measure", nargs=2, metavar=("LOSS", "BATCH"), help="measure one loss only, and print JSON"
    )
    arguments = parser.parse_args()
    gl.set_num_threads(torch.get_num_threads())
    if arguments.measure:
        print(
            json.dumps(measure_here(arguments.measure[0], int(arguments.measure[1]), arguments.temperature))
        )
        return
    if arguments.quick:
        arguments.images, arguments.epochs = min(arguments.images, 2000), 1
        arguments.batches = [batch for batch in arguments.batches if batch <= 1024]
    curves, found = compare_training(load(arguments), arguments)
    results = measure_losses(arguments.batches, arguments.temperature)
    if arguments.out:
        draw(curves, results, arguments.out)
        save_numbers(arguments, found | {"loss alone": results})


if __name__ == "__main__":
    main()

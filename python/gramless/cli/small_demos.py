"""Further demos of `gramless demo`: block structure, and a DJ mix cut into its tracks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import gramless

from .mixes import HOP, Floats, band_energies, made_up, mixed

Progress = Callable[[int, int], object]

TRACK_SECONDS, FADE_SECONDS = (12.0, 25.0, 16.0, 20.0, 9.0), 3.0
LAYERS, WIDTH, STEPS, ALIKE = 16, 64, 150, 0.95


def blocks(out: Path, progress: Progress) -> list[str]:
    """Train a deep residual network on scikit-learn's digits and find its largest block of similar layers."""
    import torch
    from sklearn.datasets import load_digits

    from ..analysis import largest_block

    digits = load_digits()
    x = torch.tensor(digits.data / 8 - 1, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = _residual_network()
        optimizer = torch.optim.Adam(network.parameters(), 1e-3)
        for step in range(STEPS):
            rows = torch.randint(0, 1300, (128,))
            loss = torch.nn.functional.cross_entropy(network(x[rows])[-1], labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            progress(step + 1, STEPS)
    with torch.inference_mode():
        *layers, logits = network(x[1300:])
    right = float((logits.argmax(1) == labels[1300:]).float().mean())
    matrix = np.asarray(gramless.cka_matrix([layer.numpy() for layer in layers]))
    block = largest_block(matrix, ALIKE)
    title = f"{LAYERS} residual layers on digits, {right:.1%} right"
    _draw(out / "blocks.png", matrix, title, "unbiased linear CKA", "layer", [block.start, block.stop], [])
    return [
        f"Layers {block.start} to {block.stop - 1} of {LAYERS} have a CKA of {ALIKE} or more with each "
        "other: they hardly change their input."
    ]


def mix(out: Path, progress: Progress) -> list[str]:
    """Cut a DJ mix of synthetic tracks, joined by crossfades, into its tracks."""
    from ..analysis import segment_rows

    tracks = []
    for seed, seconds in enumerate(TRACK_SECONDS):
        tracks.append(made_up(seed, seconds))
        progress(seed + 1, len(TRACK_SECONDS))
    audio, middles = mixed(tracks, FADE_SECONDS)
    rows = band_energies(audio)
    found = segment_rows(rows, len(tracks), min_length=int(5 / HOP))
    cuts = [cut * HOP for cut in found.boundaries]
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    edges = [0, *found.boundaries, len(rows)]
    similarity = "cosine similarity of half seconds"
    _draw(
        out / "mix.png",
        units @ units.T,
        "A mix cut into its tracks",
        similarity,
        "half seconds",
        edges,
        middles,
    )
    near = sum(min(abs(cut - middle) for cut in cuts) <= FADE_SECONDS for middle in middles)
    shown = ", ".join(f"{cut:.1f}" for cut in cuts)
    return [
        f"{near} of {len(middles)} transitions found within {FADE_SECONDS:.0f} s, the length of a crossfade: "
        f"{shown} s."
    ]


def _residual_network() -> Any:
    """A network that returns the output of every residual layer and the logits."""
    from torch import nn

    class ResidualNetwork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Linear(64, WIDTH), nn.Linear(WIDTH, 10)
            self.layers = nn.ModuleList(
                nn.Sequential(
                    nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)
                )
                for _ in range(LAYERS)
            )

        def forward(self, x: Any) -> list[Any]:
            outputs = [self.stem(x)]
            for layer in self.layers:
                outputs.append(outputs[-1] + layer(outputs[-1]))
            return [*outputs[1:], self.head(outputs[-1])]

    return ResidualNetwork()


def _draw(
    path: Path, matrix: Floats, title: str, label: str, axis: str, edges: list[int], marks: list[float]
) -> None:
    """Draw a matrix with outlined contiguous blocks. marks: seconds, as crosses on the diagonal."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    from ..plot import MARK, save_figure

    figure, ax = plt.subplots(figsize=(6.4, 5.4), layout="constrained")
    image = ax.imshow(matrix, cmap="magma", origin="lower", interpolation="nearest", vmax=1)
    for start, stop in pairwise(edges):
        first, last = start - 0.5, stop - 0.5
        ax.plot(
            [first, last, last, first, first], [first, first, last, last, first], color=MARK, linewidth=1.6
        )
    for mark in marks:
        place = mark / HOP - 0.5
        ax.plot(place, place, "wx", markersize=8, markeredgewidth=2)
    ax.set(title=title, xlabel=axis, ylabel=axis)
    figure.colorbar(image, ax=ax, shrink=0.8, label=label)
    save_figure(figure, path, dpi=110)
    plt.close(figure)

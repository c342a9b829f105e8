"""The other demo of `gramless demo`: a DJ mix cut into its tracks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np

from .mixes import HOP, Floats, band_energies, made_up, mixed

Progress = Callable[[int, int], object]

TRACK_SECONDS, FADE_SECONDS = (12.0, 25.0, 16.0, 20.0, 9.0), 3.0


def mix(out: Path, progress: Progress) -> list[str]:
    """Cut a DJ mix of made-up tracks, joined by crossfades, into its tracks."""
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


def _draw(
    path: Path, matrix: Floats, title: str, label: str, axis: str, edges: list[int], marks: list[float]
) -> None:
    """The matrix with contiguous blocks outlined; marks: seconds, as crosses on the diagonal."""
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

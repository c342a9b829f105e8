"""From activations saved on disk to a heatmap: every layer of one network against every layer of another.

Each network has a folder with one .npy file for each layer, and row i of every file is the same example; any
framework can write such files. They are memory-mapped, so together they may be larger than the memory. The
command line does the same: gramless compare FOLDER_A FOLDER_B --kernel rbf --out heatmap.png

The two checkpoints here are a random ReLU network and a copy with changed weights, so that the example needs
numpy, gramless and matplotlib only; replace save_activations with your own function.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import gramless as gl
import matplotlib
import numpy as np
from gramless.plot import heatmap, save_figure

matplotlib.use("agg")
LAYERS, WIDTH = 10, 256


def save_activations(folder: Path, inputs: np.ndarray, drift: float) -> None:
    """Runs a random ReLU network, its weights changed by `drift`, and saves the outputs of every layer."""
    folder.mkdir()
    hidden, fixed, change = inputs, np.random.default_rng(2), np.random.default_rng(3)
    for layer in range(LAYERS):
        shape = hidden.shape[1], WIDTH
        weights = np.sqrt(1 - drift**2) * fixed.normal(size=shape) + drift * change.normal(size=shape)
        hidden = np.maximum(hidden @ (weights * np.sqrt(2 / shape[0])).astype(np.float32), 0)
        np.save(folder / f"layer{layer:02d}.npy", hidden)


def open_activations(folder: Path) -> dict[str, np.ndarray]:
    """The saved layers by name, memory-mapped, so that nothing is read yet."""
    return {path.stem: np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4000, help="number of examples")
    parser.add_argument("--out", type=Path, default=Path("heatmap.png"))
    arguments = parser.parse_args()

    clusters = np.random.default_rng(0).normal(size=(20, 64))
    noise = np.random.default_rng(1).normal(size=(arguments.rows, 64))
    inputs = (clusters[np.arange(arguments.rows) % 20] + 0.5 * noise).astype(np.float32)

    with tempfile.TemporaryDirectory() as folder:
        save_activations(Path(folder, "before"), inputs, drift=0.0)
        save_activations(Path(folder, "after"), inputs, drift=0.15)
        before, after = open_activations(Path(folder, "before")), open_activations(Path(folder, "after"))

        matrix = gl.cka_matrix(list(before.values()), list(after.values()), kernel="rbf")

    ax = heatmap(
        matrix,
        list(before),
        list(after),
        title=f"RBF CKA of two checkpoints, n = {arguments.rows}",
        label_a="before",
        label_b="after",
        mark_best=True,
    )
    save_figure(ax.figure, arguments.out, dpi=150, bbox_inches="tight")
    best = np.argmax(matrix, axis=1)
    for row, column in enumerate(best):
        print(f"{list(before)[row]}: best match {list(after)[column]}, CKA {matrix[row, column]:.3f}")
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()

"""Two ImageNet networks compared layer by layer: two models, a dataloader, one call.

EfficientNet-Lite0 against -Lite1 on crops of the photos in scikit-image and scikit-learn. The left half of
the figure has every layer of one against every layer of the other, with the best match of every row outlined.
The right half has Lite0 against itself, cut into contiguous blocks by dynamic programming, whose cost depends
on the matrix only and not on the network's stages. Also printed are the number of layers with their best
match in the same stage, the interval of one of the values, and the time beyond the forward passes.

Crops of one photo are near-duplicates, so the examples are not independent and the interval is too narrow.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import gramless as gl
import matplotlib
import torch
from gramless import LayerMatrix
from gramless.analysis import Segmentation, cka_interval, segment
from gramless.cli.networks import crop_photos, layers_of, load_network, load_photos
from gramless.plot import MARK, heatmap, save_figure
from gramless.torch import compare_models

matplotlib.use("agg")
BATCH = 64


def photo_batches(images: int) -> list[torch.Tensor]:
    """Normalised crops (64, 3, 128, 128)."""
    crops = torch.from_numpy(crop_photos(load_photos(), images))
    return [(batch.permute(0, 3, 1, 2).float() - 127) / 128 for batch in crops.split(BATCH)]


def seconds_of_forward(networks: list[torch.nn.Module], batches: list[torch.Tensor]) -> float:
    """The CPU time of the forward passes in seconds, which excludes other programs."""
    started = time.process_time()
    with torch.no_grad():
        for batch in batches:
            for network in networks:
                network(batch)
    return time.process_time() - started


def draw(pair: LayerMatrix, alone: LayerMatrix, blocks: Segmentation, path: Path) -> None:
    from matplotlib import pyplot as plt
    from matplotlib.patches import Rectangle

    sizes = len(pair.layers_b), len(alone.layers_b)  # cells of one size make panels equally high
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 6.2), gridspec_kw={"width_ratios": sizes})
    figure.subplots_adjust(left=0.06, right=0.92, wspace=0.14, top=0.9, bottom=0.1)
    pair.plot(left, mark_best=True, colorbar=False, title="Lite0 x Lite1", label_a="Lite0", label_b="Lite1")
    heatmap(
        alone.matrix,
        alone.layers_a,
        ax=right,
        title=f"Lite0 with itself, {len(blocks.blocks)} blocks",
        label_a="Lite0",
        label_b="Lite0",
        colorbar_label="CKA",
    )
    for start, stop in blocks.blocks:
        corner, size = (start - 0.5, start - 0.5), stop - start
        right.add_patch(Rectangle(corner, size, size, fill=False, edgecolor=MARK, linewidth=1.6))
    for ax, axes in ((left, (pair.layers_a, pair.layers_b)), (right, (alone.layers_a, alone.layers_b))):
        ax.set_yticks(range(len(axes[0])), axes[0], fontsize=7)
        ax.set_xticks(range(len(axes[1])), axes[1], fontsize=7, rotation=90)
    kernel, examples = (pair.settings[name] for name in ("kernel", "examples"))
    figure.suptitle(f"Unbiased CKA, kernel {kernel}, on {examples} crops of photos", fontsize=11)
    save_figure(figure, path, dpi=100, bbox_inches="tight")
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--kernel", choices=["linear", "rbf"], default="linear")
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path("compare_models.png"))
    arguments = parser.parse_args()

    networks = [load_network(size) for size in (0, 1)]
    (modules_0, names_0, stages_0), (modules_1, names_1, stages_1) = map(layers_of, networks)
    batches = photo_batches(arguments.images)

    seconds_of_forward(networks, batches[:1])  # warm
    forward = seconds_of_forward(networks, batches)
    started = time.process_time()
    found = compare_models(*networks, batches, layers=modules_0, layers_b=modules_1, kernel=arguments.kernel)
    compared = time.process_time() - started
    alone = compare_models(networks[0], None, batches, layers=modules_0, kernel=arguments.kernel)

    pair = replace(found, layers_a=names_0, layers_b=names_1)  # stage.block for _blocks.3
    alone = replace(alone, layers_a=names_0, layers_b=names_0)
    blocks = segment(alone.matrix, arguments.blocks)
    draw(pair, alone, blocks, arguments.out)

    same = [stages_0[i] == stages_1[j] for i, j in enumerate(found.matrix.argmax(axis=1))]
    print(f"best match in the same stage: {sum(same[1:])} of {len(same) - 1} layers of Lite0, the stem aside")
    print(
        f"blocks of Lite0: {', '.join(f'{names_0[b.start]}..{names_0[b.stop - 1]}' for b in blocks.blocks)}"
    )
    print(
        f"CPU seconds: forward passes {forward:.2f}, compare_models {compared:.2f} "
        f"({compared / forward - 1:+.1%})"
    )
    print_interval(networks, batches, arguments.kernel)


def print_interval(networks: list[torch.nn.Module], batches: list[torch.Tensor], kernel: str) -> None:
    """The CKA of the two networks' outputs with its jackknife interval."""
    with torch.no_grad():
        outputs = [torch.cat([network(batch) for batch in batches]) for network in networks]
    interval = cka_interval(*outputs, kernel=kernel)
    print(
        f"CKA of the two networks' logits: {interval.value:.3f}, {interval.level:.0%} interval "
        f"{interval.low:.3f} to {interval.high:.3f}, if the crops were independent (gl.cka: "
        f"{gl.cka(*outputs, kernel=kernel):.3f})"
    )


if __name__ == "__main__":
    main()

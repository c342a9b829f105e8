"""`gramless compare`: saved activations of two models in, table, CSV and heatmap of their layers' CKA out."""

from __future__ import annotations

import re
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import click
import numpy as np
from rich.table import Table
from rich.text import Text

import gramless

from .._chance import PvalueMethod
from .._files import DATA_SUFFIXES, check_output, write_file
from .._formats import Array
from .._layouts import Layouts
from .._text import csv_text, printable
from ..kernels import FORMULAS, Estimator, Kernel, OfDistance, as_estimator
from ..results import LayerMatrix
from .files import as_matrices, check_rows, files_of, open_layers
from .terminal import Failure, messages, one_sentence_errors, progress_bar, require, results

PICTURES = (".png", ".pdf", ".svg", ".jpg", ".jpeg")


@click.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path), required=False)
@click.option("--kernel", type=click.Choice(list(FORMULAS)), default="linear", show_default=True)
@click.option("--scale", type=float, help="Bandwidth as a multiple of the median distance.  [default: 1]")
@click.option("--sigma", type=float, help="Bandwidth itself, in the units of the activations.")
@click.option("--estimator", type=click.Choice(get_args(Estimator)), default="unbiased", show_default=True)
@click.option(
    "--layers",
    multiple=True,
    metavar="GLOB",
    help="Only these layers, in this order: * stays between two dots of a name, ** crosses them. Repeatable.",
)
@click.option("--layers-b", multiple=True, metavar="GLOB", help="The same for B.  [default: as --layers]")
@click.option(
    "--pool",
    type=click.Choice(["none", "mean"]),
    default="none",
    show_default=True,
    help="More than two dimensions: flatten them, or average over positions, which --layout names.",
)
@click.option(
    "--layout",
    multiple=True,
    metavar="[GLOB=]LETTERS",
    help="What the dimensions of layers are: N examples, C features, other letters positions, such as NCHW "
    "or NLC, for all layers or for those that match GLOB. Repeatable.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Draw a heatmap: .png, .pdf, .svg.")
@click.option(
    "--csv", "csv_path", type=click.Path(path_type=Path), help="Write the matrix; - is standard output."
)
@click.option("--title", help="Title of the heatmap.")
@click.option(
    "--pvalue",
    type=click.Choice([*get_args(PvalueMethod), "none"]),
    default="auto",
    show_default=True,
    help='Whether chance gives as much: "auto" permutes below 40 examples and takes "chi2" from there on.',
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
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="Keep a long comparison in this file: if it is killed, repeat the command to resume.",
)
@click.option("--threads", type=click.IntRange(1, 1024), help="Number of threads.  [default: all cores]")
@click.option("--quiet", is_flag=True, help="Write the files and nothing else.")
def compare(a: Path, b: Path | None, **options: Any) -> None:
    """CKA of every layer of A with every layer of B (default: A), from saved activations.

    A and B are .npz, .npy or .safetensors files or folders of .npy files: one array per layer, one row per
    example, the examples in the same order everywhere. Files are memory-mapped and never unpickled.
    """
    kernel = _kernel(options["kernel"], options["scale"], options["sigma"])
    estimator = as_estimator(options["estimator"], "--estimator")
    out, csv_path, quiet = options["out"], options["csv_path"], options["quiet"]
    to_stdout = csv_path is not None and str(csv_path) == "-"
    inputs = [file for path in (a, b) if path is not None for file in files_of(path)]
    _check_outputs(inputs, out, None if to_stdout else csv_path, options["checkpoint"])
    if options["threads"]:
        gramless.set_num_threads(options["threads"])
    with one_sentence_errors():
        layouts = _layouts(options["layout"])
        globs = options["layers"], options["layers_b"]
        layers_a, layers_b = _open(a, b, globs, options["pool"], layouts, quiet)
        labels = printable(a.name), printable((b or a).name)
        rows = check_rows((labels[0], layers_a), (labels[1], layers_b or {}))
        started = time.perf_counter()
        found = _compare(layers_a, layers_b, labels, kernel, estimator, options)
        elapsed = time.perf_counter() - started
    what = f"{describe(kernel)}, {estimator}, n = {rows}"
    with one_sentence_errors():
        if csv_path is not None:
            text = csv_text(found.matrix, *found.names)
            sys.stdout.write(text) if to_stdout else write_file(csv_path, text.encode())
        if out is not None:
            _draw(out, found, options["title"] or f"CKA ({what})", labels, options["alpha"])
    if not quiet and not to_stdout:
        _print_best(found, layers_b is None, f"CKA ({what}), {elapsed:.2f} s", options["alpha"])
        messages().print(
            "".join(f"wrote {printable(str(path))}\n" for path in (out, csv_path) if path is not None), end=""
        )


def describe(kernel: Kernel) -> str:
    """The kernel in words for titles."""
    if isinstance(kernel, gramless.Linear):
        return "linear"
    name = type(kernel).__name__
    return (
        f"{name}, sigma {kernel.sigma:g}"
        if kernel.sigma is not None
        else f"{name}, {kernel.scale:g} x median"
    )


def _kernel(name: str, scale: float | None, sigma: float | None) -> Kernel:
    kernel = FORMULAS[name]
    if not issubclass(kernel, OfDistance):
        if scale is not None or sigma is not None:
            wanted = " or ".join(other for other, cls in FORMULAS.items() if cls.has_bandwidth)
            raise click.UsageError(f"--{'scale' if scale is not None else 'sigma'} needs --kernel {wanted}.")
        return kernel()
    if scale is not None and sigma is not None:
        raise click.UsageError("--scale and --sigma exclude each other.")
    with one_sentence_errors():
        return kernel(sigma=sigma, scale=1.0 if scale is None else scale)


def _check_outputs(
    inputs: list[Path], out: Path | None, csv_path: Path | None, checkpoint: Path | None
) -> None:
    """Fail before the work where a result could not be written, or would replace what must be kept."""
    if out is not None and out.suffix.lower() not in PICTURES:
        raise Failure(
            f"--out: {out.name!r} is not a kind of picture that can be drawn: {', '.join(PICTURES)}"
        )
    taken = list(inputs)
    with one_sentence_errors():
        for option, path in (("--checkpoint", checkpoint), ("--out", out), ("--csv", csv_path)):
            if path is not None:
                check_output(option, path, taken, frozenset() if path is checkpoint else DATA_SUFFIXES)
                taken.append(path)
    if out is not None:
        require({"matplotlib": "matplotlib"}, "plot", "--out")


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
) -> tuple[dict[str, Array], dict[str, Array] | None]:
    """The layers of A and of B as matrices; None for B if it is A itself."""
    opened = [(a, globs[0])]
    if b is not None or globs[1]:
        opened.append((b or a, globs[1] or globs[0]))
    sides = []
    for path, wanted in opened:
        where = printable(path.name)
        matrices, folded = as_matrices(open_layers(path, wanted), where, pool, layouts)
        if folded and not quiet:
            how = "averaged to (n, features)" if pool == "mean" else "flattened to (n, -1)"
            count = "1 layer has" if len(folded) == 1 else f"{len(folded)} layers have"
            verb = "is" if len(folded) == 1 else "are"
            messages().print(f"note: {where}: {count} more than two dimensions and {verb} {how}")
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
                progress=progress,
                checkpoint=options["checkpoint"],
            )
        except (ValueError, TypeError) as error:
            raise Failure(_with_names(str(error), names)) from error
    for warning in caught:
        messages().print(f"warning: {_with_names(str(warning.message), names)}")
    return found


def _with_names(sentence: str, names: dict[str, tuple[str, list[str]]]) -> str:
    """The library's sentence with the layers' names for what it calls xs[0] and ys['fc']."""

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


def _print_best(found: LayerMatrix, with_itself: bool, title: str, alpha: float) -> None:
    """Every layer's best match; a layer compared with its own model's layers does not match itself."""
    values = found.matrix.copy()
    others = with_itself and len(values) > 1
    corrected = found.pvalue_corrected
    table = Table()
    table.add_column("layer of A")
    table.add_column("best match among the other layers" if others else "best match in B")
    table.add_column("CKA", justify="right")
    if corrected is not None:
        table.add_column("p, corrected", justify="right")
    if others:
        np.fill_diagonal(values, np.nan)
    for i, (name, row) in enumerate(zip(found.layers_a, values, strict=True)):
        if np.isnan(row).all():
            table.add_row(Text(name), "", "nan")
            continue
        best = int(np.nanargmax(row))
        of_chance = [] if corrected is None else [f"{corrected[i, best]:.2g}"]
        table.add_row(Text(name), Text(found.layers_b[best]), f"{row[best]:.4f}", *of_chance)
    console = results()
    console.print(title)
    console.print(table)
    if corrected is not None:
        count = int(np.count_nonzero(found.within_chance(alpha)))
        console.print(f"{count} of {values.size} cells {found.chance_text(alpha).removeprefix('hatched: ')}")

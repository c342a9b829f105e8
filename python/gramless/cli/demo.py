"""`gramless demo`: two pretrained networks compared on photos, with controls, and further demos."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import gramless

from .._files import check_output, write_file
from .._text import csv_text
from . import networks, small_demos
from .networks import Activations
from .terminal import Failure, File, messages, one_sentence_errors, progress_bar, require

PANELS = {
    "linear": "linear CKA",
    "rbf": "RBF CKA",
    "control": "linear CKA, Lite0 untrained",
    "chance": "linear CKA, images in another order",
}


@dataclass(frozen=True)
class Demo:
    """A demo. run (unused for the networks) takes a folder and a progress callable, and returns lines."""

    summary: str
    packages: dict[str, str]  # package names by module names
    run: Callable[[Path, Callable[[int, int], object]], list[str]] = lambda out, progress: []


DEMOS = {
    "networks": Demo(
        "Two ImageNet networks, every block against every block, and two controls.", networks.PACKAGES
    ),
    "blocks": Demo(
        "A deep network trained on digits, and which of its layers are similar.",
        {"torch": "torch", "sklearn": "scikit-learn", "matplotlib": "matplotlib"},
        small_demos.blocks,
    ),
    "mix": Demo("A DJ mix cut into its tracks.", {"matplotlib": "matplotlib"}, small_demos.mix),
}


@dataclass
class Clock:
    """The duration of every phase in seconds, in order."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started


@dataclass(frozen=True)
class Sweep:
    """One panel of the figure: the layers of a against the layers of b."""

    a: Activations
    b: Activations
    kernel: gramless.Linear | gramless.RBF
    matrix: NDArray[np.float64]  # (La, Lb)
    within_chance: NDArray[np.bool_]  # (La, Lb)

    def stage_matches(self) -> tuple[int, int]:
        """The number of non-stem layers whose best match is in the same stage of b, and the number of all."""
        best = np.argmax(self.matrix, axis=1)
        same = [self.a.stages[i] == self.b.stages[j] for i, j in enumerate(best)]
        return sum(same[1:]), len(same) - 1


@click.command(short_help="Networks compared, and other examples of use.")
@click.argument("name", type=click.Choice(list(DEMOS)), default="networks")
@click.option("--list", "listed", is_flag=True, help="List the demos and the packages that they need.")
@click.option("--out", type=File(file_okay=False), default="gramless-demo", show_default=True)
@click.option("--images", type=click.IntRange(min=8), default=512, show_default=True, help="How many crops.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Number of threads.  [default: all cores]")
@click.option("--reference/--no-reference", default=True, help="Also time and compare gramless.reference.")
def demo(name: str, listed: bool, out: Path, images: int, threads: int | None, reference: bool) -> None:
    """Compare real networks by CKA, in under a minute and without a download.

    NAME is networks (default) or another demo that --list shows. networks compares EfficientNet-Lite0 and
    -Lite1, block by block, on random crops of the photos inside scikit-image and scikit-learn; crops of one
    photo are near-duplicates of each other. Writes figures, and for networks one CSV per panel, to a folder.
    """
    if listed:
        for each, entry in DEMOS.items():
            click.echo(f"{each:<9} {entry.summary} Needs {', '.join(entry.packages.values())}.")
        return
    require(DEMOS[name].packages, f"gramless demo {name}")
    messages().print(f"demo {name}: loading packages ...")
    with one_sentence_errors():
        out.mkdir(parents=True, exist_ok=True)
    if name == "networks":
        compare_networks(out, images, threads, reference)
        return
    _set_threads(threads)
    with one_sentence_errors(), progress_bar(name) as progress:
        check_output("--out", out / f"{name}.png")
        lines = DEMOS[name].run(out, progress)
    click.echo("\n".join([*lines, f"wrote {out / f'{name}.png'}"]))


def compare_networks(out: Path, images: int, threads: int | None, reference: bool) -> None:
    """Compare two pretrained networks and controls, and optionally time gramless.reference on the same."""
    clock = Clock()
    _set_threads(threads)
    with one_sentence_errors():
        for name in ("demo.png", *(f"{panel}.csv" for panel in PANELS)):
            check_output("--out", out / name)
        trained0, trained1, untrained = _activations(images, clock)
        sweeps = {
            "linear": _sweep("linear CKA", trained0, trained1, gramless.Linear(), clock),
            "rbf": _sweep("RBF CKA", trained0, trained1, gramless.RBF(), clock),
            "control": _sweep("linear CKA of the control", untrained, trained1, gramless.Linear(), clock),
            "chance": _sweep("linear CKA by chance", trained0, shuffled(trained1), gramless.Linear(), clock),
        }
        with clock.phase("picture and CSV files"):
            for name, sweep in sweeps.items():
                text = csv_text(sweep.matrix, sweep.a.names, sweep.b.names)
                write_file(out / f"{name}.csv", text.encode())
            draw(sweeps, images, out / "demo.png")
    for line in meaning(sweeps):
        click.echo(line)
    click.echo("")
    for name, seconds in clock.seconds.items():
        click.echo(f"{seconds:8.3f} s  {name}")
    if reference:
        _report_reference(list(sweeps.values()), clock)
    click.echo(f"\nwrote {out / 'demo.png'} and {', '.join(f'{name}.csv' for name in sweeps)}")


def meaning(sweeps: dict[str, Sweep]) -> list[str]:
    """Three lines that explain the numbers."""
    names = ("linear", "rbf", "control")
    (linear, layers), (rbf, _), (control, _) = (sweeps[name].stage_matches() for name in names)
    best = np.max(sweeps["linear"].matrix[1:], axis=1)
    reason = (
        "the correspondence comes from training, not from the architecture"
        if control < linear
        else "on these images the correspondence does not need training"
    )
    trained = (
        f"Trained: the best match of {linear} of {layers} non-stem layers of Lite0 lies in the same stage of "
        f"Lite1 (linear CKA {best.min():.2f} to {best.max():.2f}; RBF CKA: {rbf} of {layers})."
    )
    chance = sweeps["chance"]
    beyond = chance.matrix.size - int(np.count_nonzero(chance.within_chance))
    return [
        trained,
        f"Untrained Lite0 on the same images: {control} of {layers}; {reason}.",
        f"Images of Lite1 in another order: CKA up to {chance.matrix.max():.2f}, {beyond} of "
        f"{chance.matrix.size} cells beyond chance.",
    ]


def draw(sweeps: dict[str, Sweep], images: int, path: Path) -> None:
    """Draw four heatmaps with lines between stages, best matches outlined, cells within chance hatched."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    from gramless.plot import heatmap, save_figure

    figure, axes = plt.subplots(2, 2, figsize=(9.6, 8.6))
    figure.subplots_adjust(left=0.07, right=0.91, wspace=0.16, hspace=0.24, top=0.91, bottom=0.08)
    for ax, (name, sweep) in zip(axes.flat, sweeps.items(), strict=True):
        heatmap(
            sweep.matrix,
            sweep.a.names,
            sweep.b.names,
            ax,
            title=PANELS[name],
            label_a="Lite0 untrained (stage.block)" if name == "control" else "Lite0 (stage.block)",
            label_b="Lite1 (stage.block)",
            mark_best=name != "chance",
            within_chance=sweep.within_chance,
            stages_a=sweep.a.starts,
            stages_b=sweep.b.starts,
            colorbar=name in ("rbf", "chance"),
            colorbar_label="CKA",
        )
    figure.suptitle(
        f"Unbiased CKA between the blocks of EfficientNet-Lite0 and -Lite1 on {images} crops of photos;\n"
        "best match of every row outlined, cells within chance hatched",
        fontsize=11,
        y=0.985,
    )
    save_figure(figure, path, dpi=110, bbox_inches="tight")
    plt.close(figure)


def _set_threads(threads: int | None) -> None:
    if threads is None:
        return
    gramless.set_num_threads(threads)
    if importlib.util.find_spec("torch") is not None:
        import torch

        torch.set_num_threads(threads)


def _activations(images: int, clock: Clock) -> tuple[Activations, Activations, Activations]:
    photos = sum(map(len, networks.PHOTOS.values()))
    with clock.phase(
        f"{images} crops of {photos} photos (crops of one photo are near-duplicates of each other)"
    ):
        crops = networks.crop_photos(networks.load_photos(), images)
    found = []
    for name, size, pretrained in (("Lite0", 0, True), ("Lite1", 1, True), ("untrained Lite0", 0, False)):
        with clock.phase(f"activations of {name}"), progress_bar(name) as progress:
            found.append(networks.activations(networks.load_network(size, pretrained), crops, progress))
    return found[0], found[1], found[2]


def _sweep(
    name: str, a: Activations, b: Activations, kernel: gramless.Linear | gramless.RBF, clock: Clock
) -> Sweep:
    phase = f"{name}, {len(a.arrays)} x {len(b.arrays)} layers, one layer_matrix call"
    with progress_bar(name) as progress, clock.phase(phase):
        found = gramless.layer_matrix(a.arrays, b.arrays, kernel=kernel, progress=progress, rng=0)
    return Sweep(a, b, kernel, found.matrix, found.within_chance())


def shuffled(activations: Activations) -> Activations:
    """The same activations with the images in random order, so that any similarity is by chance."""
    order = np.random.default_rng(0).permutation(len(activations.arrays[0]))
    return Activations(activations.names, activations.stages, [array[order] for array in activations.arrays])


def _report_reference(sweeps: Sequence[Sweep], clock: Clock) -> None:
    """Compute the same matrices with gramless.reference, and print its time and the largest difference."""
    from gramless import reference

    messages().print("computing the same numbers with gramless.reference ...")
    with clock.phase("reference"):
        truths: list[Any] = [reference.cka_matrix(s.a.arrays, s.b.arrays, kernel=s.kernel) for s in sweeps]
    difference = max(float(np.max(np.abs(s.matrix - truth))) for s, truth in zip(sweeps, truths, strict=True))
    ours = sum(seconds for name, seconds in clock.seconds.items() if "layer_matrix" in name)
    theirs = clock.seconds["reference"]
    click.echo(f"{theirs:8.3f} s  gramless.reference (n x n float64 numpy) for the same matrices")
    click.echo(
        f"gramless: {ours:.3f} s, the reference takes {theirs / ours:.1f} times as long; "
        f"max abs difference {difference:.1e}"
    )
    if not difference < 1e-4:
        raise Failure(f"the results differ from gramless.reference by {difference}, more than 1e-4")

"""Where does one track of a DJ mix end and the next begin, how many are there, and which come back?

Excerpts of tracks, of unequal lengths, are joined with crossfades, so that the transitions are known; some
tracks return later with another part. Every half second becomes a row of log energies in 48 bands. Dynamic
programming cuts the rows into contiguous segments whose rows are similar: it uses the cosines of all pairs of
rows, which are never stored. The number of segments is given in one case, and in the other it is chosen with
the slope heuristic (Arlot, Celisse and Harchaoui 2019): where cuts no longer follow tracks, the cost falls in
proportion to the logarithm of the number of ways to cut, and the penalty is twice this slope. For comparison,
the same number of cuts is made at equal distances, and by the dynamic programming of ruptures. Segments of a
track that returns should be most similar to each other.
"""

from __future__ import annotations

import argparse
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from _mix import FOLDER, Mix, mix_of, recordings, seconds_of
from _study import add_study_arguments, kept_arrays, kept_numbers, run_study
from gramless.analysis import Segmentation, segment_rows
from gramless.cli.mixes import HOP, Floats
from gramless.plot import save_figure

matplotlib.use("agg")
NEAR = 2.0, 5.0, 10.0  # seconds between a cut and the middle of a crossfade
SHORTEST = 10.0  # seconds of the shortest segment
COARSE = 4  # rows that are averaged before the number of segments is chosen
COLOURS = {"number given": "#12857a", "number chosen": "#4c72b0", "equal distances": "0.6"}


def segmented(rows: Floats, count: int) -> Segmentation:
    return segment_rows(rows, count, min_length=int(SHORTEST / HOP))


def coarse(rows: Floats, step: int) -> Floats:
    """The means of `step` rows each."""
    return np.asarray(rows[: len(rows) // step * step].reshape(-1, step, rows.shape[1]).mean(axis=1))


def costs_by_number(rows: Floats) -> Floats:
    """The least cost of 1, 2, ... segments, up to half of the largest possible number."""
    averaged, least = coarse(rows, COARSE), int(SHORTEST / HOP) // COARSE
    most = len(averaged) // (2 * least)
    return np.array([segment_rows(averaged, k, min_length=least).cost for k in range(1, most + 1)])


def chosen_number(costs: Floats, rows: int) -> int:
    """The number D of segments from the slope heuristic. C = C(rows - 1, D - 1) is the number of ways to cut.
    Over the upper two thirds of D, costs[D - 1] falls by s log C; the chosen D minimises cost + 2 s log C.
    """
    counts = np.arange(1.0, len(costs) + 1)
    log_factorial = np.vectorize(lambda count: math.lgamma(count + 1))
    choices = log_factorial(rows - 1) - log_factorial(counts - 1) - log_factorial(rows - counts)
    upper = counts > len(costs) / 3
    slope = np.polyfit(choices[upper], costs[upper], 1)[0]
    return int(np.argmin(costs - 2 * slope * choices)) + 1


def distances(transitions: list[float], cuts: list[float]) -> list[float]:
    """Seconds from each transition to the nearest cut."""
    return [min((abs(cut - middle) for cut in cuts), default=float("inf")) for middle in transitions]


def returns_found(mix: Mix, found: Segmentation) -> dict[str, Any]:
    """The number of segments whose track returns and that are most similar to another segment of the track,
    in the mean cosine of all pairs of rows, and the number expected by chance. Neighbours are left out.
    """
    units = mix.rows / np.linalg.norm(mix.rows, axis=1, keepdims=True)
    means = np.array([units[start:stop].mean(axis=0) for start, stop in found.blocks])
    alike = np.einsum("id,jd->ij", means, means)
    middles = [seconds_of(start + stop) / 2 for start, stop in found.blocks]
    tracks = [mix.tracks[int(np.searchsorted(mix.transitions, middle))] for middle in middles]
    right, chance = [], []
    for i, track in enumerate(tracks):
        others = [j for j in range(len(tracks)) if abs(i - j) > 1]
        same = [j for j in others if tracks[j] == track]
        if same:
            right.append(max(others, key=lambda j: alike[i, j]) in same)
            chance.append(len(same) / len(others))
    return {"segments": len(right), "found": int(sum(right)), "by chance": float(sum(chance))}


def of_ruptures(rows: Floats, count: int) -> list[int] | None:
    """The cuts of ruptures' exact dynamic programming with the same cost; None if it is not installed."""
    try:
        import ruptures
    except ModuleNotFoundError:
        return None
    search = ruptures.KernelCPD(kernel="cosine", min_size=int(SHORTEST / HOP)).fit(rows)
    return [int(cut) for cut in search.predict(n_bkps=count - 1)[:-1]]


def examined(mix: Mix) -> dict[str, Any]:
    """All results of one mix."""
    count = len(mix.tracks)
    given = segmented(mix.rows, count)
    theirs = of_ruptures(mix.rows, count)
    costs = costs_by_number(mix.rows)
    number = chosen_number(costs, len(mix.rows) // COARSE)
    chosen = segmented(mix.rows, number)
    end = seconds_of(len(mix.rows))
    cuts = {
        "number given": [seconds_of(cut) for cut in given.boundaries],
        "number chosen": [seconds_of(cut) for cut in chosen.boundaries],
        "equal distances": [end * place / count for place in range(1, count)],
    }
    return {
        "tracks": mix.tracks,
        "transitions": mix.transitions,
        "seconds": end,
        "cuts": cuts,
        "distances": {name: distances(mix.transitions, found) for name, found in cuts.items()},
        "costs": costs.tolist(),
        "returns": {"number given": returns_found(mix, given), "number chosen": returns_found(mix, chosen)},
        "ruptures cuts alike": None if theirs is None else theirs == given.boundaries,
    }


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    made = arguments.quick and arguments.data is None
    paths = None if made else recordings(arguments.data or FOLDER, arguments.tracks - arguments.returns)
    options = {key: getattr(arguments, key) for key in ("tracks", "returns", "seconds", "fade")}
    mixes, first = {}, None
    for seed in arguments.seeds:
        settings = options | {"seed": seed, "files": [path.stem for path in paths or []]}

        def made_mix(seed: int = seed) -> dict[str, Any]:
            mix = mix_of(paths, *options.values(), seed)  # type: ignore[arg-type]
            return mix._asdict() | {"tracks": np.array(mix.tracks)}

        kept = kept_arrays(arguments.keep, f"rows-{seed}", settings, made_mix)
        mix = Mix(
            kept["rows"], [str(name) for name in kept["tracks"]], [float(t) for t in kept["transitions"]]
        )
        found = kept_numbers(arguments.keep, f"mix-{seed}", settings, lambda mix=mix: examined(mix))
        mixes[str(seed)] = found
        first = mix if first is None else first
        near = {name: sum(d <= NEAR[1] for d in far) for name, far in found["distances"].items()}
        shown = ", ".join(f"{name} {hits}" for name, hits in near.items())
        print(
            f"seed {seed}: {len(mix.tracks)} tracks, {len(found['cuts']['number chosen']) + 1} chosen; of "
            f"{len(mix.transitions)} transitions within {NEAR[1]:.0f} s: {shown}; ruptures cuts "
            f"{ {None: 'not installed', True: 'alike', False: 'elsewhere'}[found['ruptures cuts alike']] }",
            flush=True,
        )
    assert first is not None
    step = max(1, len(first.rows) // 120)
    return {
        "near": NEAR,
        "mixes": mixes,
        "rows per step": step,
        "rows": coarse(first.rows, step).round(3).tolist(),
    }


def draw(numbers: dict[str, Any], out: Path) -> None:
    """The first mix, the number of segments that its costs choose, and the transitions found over seconds."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplot_mosaic(
        "AB;AC", figsize=(13, 7.2), width_ratios=(1.5, 1), layout="constrained"
    )
    mixes = list(numbers["mixes"].values())
    draw_mix(axes["A"], np.array(numbers["rows"]), numbers["rows per step"], mixes[0])
    costs, true = mixes[0]["costs"], len(mixes[0]["tracks"])
    chosen = len(mixes[0]["cuts"]["number chosen"]) + 1
    axes["B"].plot(range(1, len(costs) + 1), costs, color="0.3")
    axes["B"].axvline(true, color="0.6", ls=":", label=f"tracks: {true}")
    axes["B"].axvline(chosen, color=COLOURS["number chosen"], ls="--", label=f"chosen: {chosen}")
    axes["B"].set(xlabel="segments", ylabel="least cost", title="How many segments? The mix on the left")
    limits = np.linspace(0, 20, 81)
    for name, colour in COLOURS.items():
        shares = np.array(
            [[100 * np.mean(np.array(mix["distances"][name]) <= limit) for limit in limits] for mix in mixes]
        )
        mean, spread = shares.mean(axis=0), shares.std(axis=0, ddof=1) if len(mixes) > 1 else 0 * limits
        axes["C"].plot(limits, mean, color=colour, label=name)
        axes["C"].fill_between(limits, mean - spread, mean + spread, color=colour, alpha=0.15, lw=0)
    title = f"Transitions found, mean and spread over {len(mixes)} mixes"
    axes["C"].set(xlabel="seconds from the nearest cut, at most", ylabel="%", ylim=(0, 102), title=title)
    for name in "BC":
        axes[name].grid(alpha=0.3)
        axes[name].legend(frameon=False)
    save_figure(figure, out, dpi=80)


def draw_mix(ax: Any, rows: Floats, step: int, mix: dict[str, Any]) -> None:
    """The similarity of averaged rows, so that the figure is small, with the cuts of all rows."""
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    end = seconds_of(len(rows) * step)
    image = ax.imshow(
        units @ units.T, cmap="magma", extent=(0, end, 0, end), origin="lower", vmin=-0.5, vmax=1
    )
    for start, stop in pairwise([0.0, *mix["cuts"]["number given"], end]):
        ax.plot([start, stop, stop, start, start], [start, start, stop, stop, start], color="#12b5a6", lw=1.4)
    ax.plot(mix["transitions"], mix["transitions"], "wx", ms=8, mew=2, ls="none", label="true transition")
    edges = [0.0, *mix["transitions"], end]
    middles = {}
    for place, track in enumerate(mix["tracks"]):
        middle = (edges[place] + edges[place + 1]) / 2
        if track in middles:
            here, there = (middle, middles[track]), (middles[track], middle)
            ax.plot(*zip(here, there, strict=True), "o", mec="w", mfc="none", ms=16, mew=1.6)
        middles.setdefault(track, middle)
    ax.plot([], [], "o", mec="w", mfc="none", ls="none", label="a track that returns")
    ax.plot([], [], color="#12b5a6", lw=1.4, label="segment, number given")
    ax.legend(loc="upper left", fontsize=8, facecolor="0.3", labelcolor="w")
    ax.set(xlabel="seconds", ylabel="seconds", title="Self-similarity of a mix")
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label="cosine similarity of band energies")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help=f"folder of .ogg, .flac or .wav tracks (default: {FOLDER})")
    parser.add_argument(
        "--quick", action="store_true", help="run for a few seconds, on synthetic tracks if --data is missing"
    )
    parser.add_argument(
        "--tracks", type=int, default=12, help="number of excerpts in a mix, returns included"
    )
    parser.add_argument("--returns", type=int, default=3, help="how many of them are another part of a track")
    parser.add_argument("--seconds", type=float, default=60.0, help="seconds of each excerpt, on average")
    parser.add_argument("--fade", type=float, default=8.0, help="seconds of each crossfade")
    add_study_arguments(parser, "of order and lengths; 0, and with --full 0 to 9")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.tracks, arguments.returns = min(arguments.tracks, 5), min(arguments.returns, 1)
        arguments.seconds, arguments.fade = min(arguments.seconds, 20.0), min(arguments.fade, 3.0)
    arguments.seeds = arguments.seeds or list(range(10 if arguments.full else 1))
    run_study(arguments, measured, draw)


if __name__ == "__main__":
    main()

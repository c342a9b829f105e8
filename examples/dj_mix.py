"""Where does one track of a DJ mix end and the next begin? Contiguous segments of its self-similarity.

Excerpts of tracks, of unequal lengths, are joined with crossfades, so that the transitions are known. Every
half second becomes a row of log energies in 48 bands; dynamic programming cuts the rows into contiguous
segments that are alike inside, in the cosine similarity of all pairs of rows, which is never stored. It is
told how many tracks there are, and nothing else. For comparison: as many cuts at equal distances.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
from _record import save_numbers
from gramless.analysis import segment_rows
from gramless.cli.mixes import HOP, RATE, Floats, band_energies, made_up, mixed
from gramless.plot import save_figure

matplotlib.use("agg")
FOLDER = Path("/usr/share/games/singularity/music")  # where Debian's package singularity-music puts it
NEAR = 5.0  # seconds from the middle of a crossfade that count as found


def recorded(path: Path, seconds: float) -> Floats:
    """Mono audio from the middle of a track, at about RATE."""
    try:
        import soundfile
    except ModuleNotFoundError as error:
        raise SystemExit(f"{error}: pip install soundfile, or take --quick's made-up tracks") from None
    with soundfile.SoundFile(path) as file:
        step = max(1, round(file.samplerate / RATE))
        wanted = min(file.frames, int(seconds * RATE * step))
        file.seek((file.frames - wanted) // 2)
        audio = file.read(wanted, always_2d=True).mean(axis=1)
    whole = (
        audio[: len(audio) // step * step].reshape(-1, step).mean(axis=1)
    )  # a crude low-pass is enough here
    return np.asarray(whole / (whole.std() + 1e-9))


def found_near(cuts: list[float], middles: list[float]) -> int:
    return sum(min(abs(cut - middle) for cut in cuts) <= NEAR for middle in middles)


def draw(rows: Floats, cuts: list[float], middles: list[float], title: str, out: Path) -> None:
    """Similarity of averaged rows, so that the picture is small; the cuts are those of all rows."""
    from matplotlib import pyplot

    step = max(1, len(rows) // 200)
    averaged = rows[: len(rows) // step * step].reshape(-1, step, rows.shape[1]).mean(axis=1)
    units = averaged / np.linalg.norm(averaged, axis=1, keepdims=True)
    end = len(averaged) * step * HOP
    figure, ax = pyplot.subplots(figsize=(7.6, 6.6), layout="constrained")
    image = ax.imshow(
        units @ units.T, cmap="magma", extent=(0, end, 0, end), origin="lower", vmin=-0.5, vmax=1
    )
    edges = [0.0, *cuts, end]
    for start, stop in pairwise(edges):
        ax.plot([start, stop, stop, start, start], [start, start, stop, stop, start], color="#12b5a6", lw=1.6)
    for index, middle in enumerate(middles):
        label = "true transition" if index == 0 else None
        ax.plot(middle, middle, "wx", ms=9, mew=2, label=label)
    ax.plot([], [], color="#12b5a6", lw=1.6, label="segment found")
    ax.legend(loc="upper left", fontsize=8, facecolor="0.3", labelcolor="w")
    ax.set(title=title, xlabel="seconds", ylabel="seconds")
    figure.colorbar(image, ax=ax, shrink=0.8, label="cosine similarity of band energies")
    save_figure(figure, out, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help=f"folder of .ogg, .flac or .wav tracks (default: {FOLDER})")
    parser.add_argument("--quick", action="store_true", help="few seconds; made-up tracks without --data")
    parser.add_argument("--tracks", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each track, on average")
    parser.add_argument("--seed", type=int, default=0, help="of their lengths")
    parser.add_argument("--fade", type=float, default=8.0, help="seconds of each crossfade")
    parser.add_argument("--out", type=Path, help="write a picture and its numbers")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.tracks, arguments.seconds, arguments.fade = 4, 20.0, 3.0
    spread = np.random.default_rng(arguments.seed).uniform(0.5, 1.5, arguments.tracks)
    lengths = [float(arguments.seconds * factor) for factor in spread]
    if arguments.quick and arguments.data is None:
        names = [f"made up {seed}" for seed in range(arguments.tracks)]
        tracks = [made_up(seed, length) for seed, length in enumerate(lengths)]
    else:
        folder = arguments.data or FOLDER
        suffixes = (".ogg", ".flac", ".wav")
        paths = sorted(path for path in folder.glob("*") if path.suffix in suffixes)
        if len(paths) < arguments.tracks:
            raise SystemExit(
                f"{len(paths)} of {arguments.tracks} tracks in {folder}: install Debian's package "
                "singularity-music, or name a folder of .ogg, .flac or .wav files with --data"
            )
        paths = paths[: arguments.tracks]
        names = [path.stem for path in paths]
        tracks = [recorded(path, length) for path, length in zip(paths, lengths, strict=True)]
    mix, middles = mixed(tracks, arguments.fade)
    rows = band_energies(mix)
    started = time.perf_counter()
    found = segment_rows(rows, len(tracks), min_length=int(10 / HOP))
    seconds = time.perf_counter() - started
    cuts = [cut * HOP for cut in found.boundaries]
    equal = [len(rows) * HOP * place / len(tracks) for place in range(1, len(tracks))]
    hits = {"segments": found_near(cuts, middles), "equal distances": found_near(equal, middles)}
    print(f"{len(tracks)} tracks, {len(rows)} rows of half a second, segmented in {seconds:.2f} s")
    print("transitions:", ", ".join(f"{middle:.1f}" for middle in middles))
    print("cuts:       ", ", ".join(f"{cut:.1f}" for cut in cuts))
    for name, hit in hits.items():
        print(f"{name}: {hit} of {len(middles)} transitions within {NEAR:.0f} s")
    if arguments.out:
        title = f"{hits['segments']} of {len(middles)} transitions found within {NEAR:.0f} s"
        draw(rows, cuts, middles, title, arguments.out)
        numbers = {"tracks": names, "transitions": middles, "cuts": cuts, "found": hits}
        save_numbers(arguments, numbers)


if __name__ == "__main__":
    main()

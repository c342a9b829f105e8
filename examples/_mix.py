"""A DJ mix whose tracks have known beginnings and ends; some tracks return."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from gramless.cli.mixes import HOP, RATE, Floats, band_energies, made_up, mixed

FOLDER = Path("/usr/share/games/singularity/music")  # of Debian's package singularity-music
SUFFIXES = ".ogg", ".flac", ".wav"


class Mix(NamedTuple):
    """Rows of features, one for every half second, and the true tracks and transitions."""

    rows: Floats  # (n, bands)
    tracks: list[str]  # in the order of the mix; a track that returns has its name twice
    transitions: list[float]  # seconds, the middles of the crossfades


def recordings(folder: Path, tracks: int) -> list[Path]:
    """The first `tracks` files of the folder; raises SystemExit if there are fewer."""
    paths = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES)
    if len(paths) < tracks:
        raise SystemExit(
            f"{len(paths)} of {tracks} tracks in {folder}: install Debian's package singularity-music, or "
            "give a folder of .ogg, .flac or .wav files with --data"
        )
    return paths


def recorded(path: Path, seconds: float, part: int) -> Floats:
    """Mono audio at about RATE: for part 0 the seconds before the middle of a track, for part 1 the next."""
    try:
        import soundfile
    except ModuleNotFoundError as error:
        raise SystemExit(f"{error}: pip install soundfile, or use --quick for synthetic tracks") from None
    with soundfile.SoundFile(path) as file:
        step = max(1, round(file.samplerate / RATE))
        wanted = min(file.frames // 2, int(seconds * RATE * step))
        file.seek(file.frames // 2 - (wanted if part == 0 else 0))
        audio = file.read(wanted, always_2d=True).mean(axis=1)
    # A simple low-pass filter is enough here.
    whole = audio[: len(audio) // step * step].reshape(-1, step).mean(axis=1)
    return np.asarray(whole / (whole.std() + 1e-9))


def order_of(places: int, returns: int, rng: np.random.Generator) -> list[int]:
    """The track at each place: different tracks in order, and `returns` of them a second time, at a place
    that is not beside the same track.
    """
    order = list(range(places - returns))
    for track in rng.choice(places - returns, returns, replace=False):
        at = order.index(track)
        free = [place for place in range(len(order) + 1) if place not in (at, at + 1)]
        order.insert(int(rng.choice(free)), int(track))
    return order


def mix_of(
    paths: list[Path] | None, places: int, returns: int, seconds: float, fade: float, seed: int
) -> Mix:
    """A mix whose tracks, order and lengths depend on the seed; without paths, tracks are synthetic."""
    rng = np.random.default_rng(seed)
    lengths = seconds * rng.uniform(0.5, 1.5, places)
    order = order_of(places, returns, rng)
    chosen = rng.permutation(len(paths) if paths else places)
    played: set[int] = set()
    audio, names = [], []
    for track, length in zip(order, lengths, strict=True):
        part = int(track in played)
        played.add(track)
        if paths:
            path = paths[chosen[track]]
            names.append(path.stem)
            audio.append(recorded(path, float(length), part))
        else:
            names.append(f"made up {track}")
            whole = made_up(100 * seed + track, 2 * float(length))
            audio.append(whole[: len(whole) // 2] if part == 0 else whole[len(whole) // 2 :])
    mix, transitions = mixed(audio, fade)
    return Mix(band_energies(mix), names, [float(middle) for middle in transitions])


def seconds_of(rows: int) -> float:
    """The duration of this number of rows."""
    return rows * HOP

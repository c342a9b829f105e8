"""A DJ mix to be cut into its tracks: some of them return, and where each begins and ends is known."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from gramless.cli.mixes import HOP, RATE, Floats, band_energies, made_up, mixed

FOLDER = Path("/usr/share/games/singularity/music")  # where Debian's package singularity-music puts it
SUFFIXES = ".ogg", ".flac", ".wav"


class Mix(NamedTuple):
    """Rows of features, every half second, and what is true of them."""

    rows: Floats  # (n, bands)
    tracks: list[str]  # by place in the mix; a name twice is a track that returns
    transitions: list[float]  # seconds, the middles of the crossfades


def recordings(folder: Path, tracks: int) -> list[Path]:
    """The files of the folder; raises SystemExit where there are fewer."""
    paths = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES)
    if len(paths) < tracks:
        raise SystemExit(
            f"{len(paths)} of {tracks} tracks in {folder}: install Debian's package singularity-music, or "
            "name a folder of .ogg, .flac or .wav files with --data"
        )
    return paths


def recorded(path: Path, seconds: float, part: int) -> Floats:
    """Mono audio at about RATE: of part 0 the seconds up to the middle of a track, of part 1 those after."""
    try:
        import soundfile
    except ModuleNotFoundError as error:
        raise SystemExit(f"{error}: pip install soundfile, or take --quick's made-up tracks") from None
    with soundfile.SoundFile(path) as file:
        step = max(1, round(file.samplerate / RATE))
        wanted = min(file.frames // 2, int(seconds * RATE * step))
        file.seek(file.frames // 2 - (wanted if part == 0 else 0))
        audio = file.read(wanted, always_2d=True).mean(axis=1)
    # A crude low-pass is enough here.
    whole = audio[: len(audio) // step * step].reshape(-1, step).mean(axis=1)
    return np.asarray(whole / (whole.std() + 1e-9))


def order_of(places: int, returns: int, rng: np.random.Generator) -> list[int]:
    """Which track plays at each place: as many different ones as there are places without returns, in order,
    then the returns are let in, none beside itself.
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
    """A mix whose tracks, order and lengths come from the seed; made-up tracks without paths."""
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
    """How long so many rows are."""
    return rows * HOP

"""A DJ mix as rows of features: synthetic tracks, crossfades, energies in frequency bands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RATE, HOP, WINDOW, BANDS = 22_050, 0.5, 2048, 48  # of audio in Hz, of rows in s, of spectra in samples


def made_up(seed: int, seconds: float) -> Floats:
    """A synthetic track: a chord with amplitude modulation and noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    tones = sum(np.sin(2 * np.pi * f * t) for f in rng.uniform(80, 3000, 4))
    audio = tones * (1 + np.sin(2 * np.pi * rng.uniform(0.5, 3) * t)) + 0.5 * rng.standard_normal(len(t))
    return np.asarray(audio / audio.std())


def mixed(tracks: list[Floats], fade: float) -> tuple[Floats, list[float]]:
    """The tracks joined with equal-power crossfades, and the middle of each crossfade in seconds."""
    overlap = int(fade * RATE)
    rise = np.sin(np.linspace(0, np.pi / 2, overlap))
    mix, middles = tracks[0], []
    for track in tracks[1:]:
        middles.append((len(mix) - overlap / 2) / RATE)
        joint = mix[-overlap:] * rise[::-1] + track[:overlap] * rise
        mix = np.concatenate([mix[:-overlap], joint, track[overlap:]])
    return mix, middles


def band_energies(audio: Floats) -> Floats:
    """Log energies (rows, bands) of half seconds in logarithmic bands up to 10 kHz, each standardised."""
    edges = np.geomspace(40, 10_000, BANDS + 1) / RATE * WINDOW
    band = np.digitize(np.arange(WINDOW // 2 + 1), edges) - 1
    rows, samples = int(len(audio) / RATE / HOP), int(HOP * RATE)
    energies = np.zeros((rows, BANDS))
    taper = np.hanning(WINDOW)
    for row in range(rows):
        piece = audio[row * samples : (row + 1) * samples]
        windows = np.lib.stride_tricks.sliding_window_view(piece, WINDOW)[:: WINDOW // 2]
        power = (np.abs(np.fft.rfft(windows * taper)) ** 2).mean(axis=0)
        for place in range(BANDS):
            energies[row, place] = power[band == place].sum()
    logs = np.log(energies + 1e-3 * energies.mean())
    return np.asarray((logs - logs.mean(axis=0)) / (logs.std(axis=0) + 1e-9))

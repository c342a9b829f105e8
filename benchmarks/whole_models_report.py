"""The section on whole networks of docs/benchmarks.md, from whole_models.json. Measures nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from .whole_models import FORWARD, LAST


def section(found: dict[str, Any]) -> list[str]:
    cpu = {name: float(np.median(values)) for name, values in found["cpu_seconds"].items()}
    rows = [
        "| who | CPU s, median | every round | over its forward passes | over those as given | error |",
        "|---|---:|---|---:|---:|---:|",
    ]
    for name, values in found["cpu_seconds"].items():
        own = LAST if name.startswith("gramless") else FORWARD
        answer = found["answers"].get(name)
        error = "" if answer is None else f"{answer['error']:.1e}"
        if answer is not None and answer["wrong"]:
            error = f"**{error}**, {answer['wrong']} of {answer['entries']} entries beyond 1e-3"
        samples = ", ".join(f"{value:.1f}" for value in values)
        over = "" if name in (FORWARD, LAST) else f"{cpu[name] / cpu[own] - 1:+.0%}"
        given = f"{cpu[name] / cpu[FORWARD]:.2f}x"
        rows.append(f"| {name} | {cpu[name]:.1f} | {samples} | {over} | {given} | {error} |")
    peaks = ", ".join(f"{peak / 1e6:.0f} MB for {n}" for n, peak in found["peak_bytes"].items())
    return [
        "## Whole networks",
        "",
        f"EfficientNet-Lite0 with -Lite1, 18 x 23 layers, {found['images']} images of 128 x 128, batches of "
        f"64, one thread, `python -m benchmarks.whole_models`; {found['date']}, commit "
        f"{found['commit']}. CPU seconds, because other processes used "
        f"{found['others_load']:.0%} of the cores. torch-cka {found['versions']['torch-cka']} and "
        f"pytorch-cka {found['versions']['pytorch-cka']} flatten, as our minibatch here; they take images as "
        "they come, we with channels last.",
        "",
        *rows,
        "",
        "Errors are against float64, on 128 images. Peak memory of the minibatch comparison above its "
        f"networks: {peaks} images.",
        *([found["note"]] if found.get("note") else []),
        "",
    ]

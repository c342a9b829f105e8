"""python -m benchmarks.examples [--only NAME] [--keep NAME] [--out FILE]: costs of the examples, as JSON.

Each runs in its own process, as its README says. Time, CPU time and peak memory are of the whole run, imports
and training included. Results that are not measured again stay in the file, with their machine and commit.
`python -m benchmarks.pages` then redraws examples/README.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from .environment import RESULTS, ROOT, OthersLoad, conditions

EXAMPLES, PICTURES = ROOT / "examples", ROOT / "docs/images"
# The file that each example writes, if any.
EXAMPLE_OUT = {
    "compare_models": "compare_models.png",
    "saved_activations_to_heatmap": "heatmap.png",
    "independence_test": None,
    "million_rows_from_disk": None,
    "sanity_check": "sanity_check.png",
    "block_structure": "block_structure.png",
    "depth_pathology": "depth_pathology.png",
    "colour_distortion": "colour_distortion.png",
    "hard_negatives": "hard_negatives.png",
    "batch_and_temperature": "batch_and_temperature.png",
    "loss_functions": "loss_functions.png",
    "sentence_encoders": "sentence_encoders.png",
    "vision_transformer": "vision_transformer.png",
    "dj_mix": "dj_mix.png",
    "simclr_fashion_mnist": "simclr_fashion_mnist.png",
    "simclr_v2_distillation": "simclr_v2_distillation.png",
    "cka_distillation": "cka_distillation.json",
}
MILLION_ROWS = "million_rows"
NAMES = (*EXAMPLE_OUT, MILLION_ROWS)
SWEEP = ("--rows", "100000", "--kernel", "rbf")
KILLED_AFTER = 50  # the sweep is killed after at least this number of parts


def run(name: str, *options: str | Path) -> dict[str, Any]:
    """{"seconds", "cpu_seconds", "peak_bytes", "others_load"} of an example, or {"failed": why}."""
    command = [sys.executable, "-W", "ignore", EXAMPLES / f"{name}.py", *options]
    load = OthersLoad()
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("alone.py"), *command], capture_output=True, text=True
    )
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["killed"])[-1][:200]}
    return json.loads(done.stdout) | {"others_load": load.share()}


def compared(folder: Path, *options: str | Path) -> dict[str, Any]:
    """The numbers that million_rows_from_disk.py reports for its comparison alone."""
    out = folder / "numbers.json"
    subprocess.run(million_rows("--out", out, *options), check=True, stdout=subprocess.DEVNULL)
    return dict(json.loads(out.read_text()))


def million_rows(*options: str | Path) -> list[str | Path]:
    return [sys.executable, EXAMPLES / "million_rows_from_disk.py", *options]


def parts_done(checkpoint: Path) -> int:
    if not checkpoint.exists():
        return 0
    with np.load(checkpoint, allow_pickle=False) as entries:
        return int(entries["done"])


def killed_sweep(checkpoint: Path) -> int:
    """Kills a sweep with SIGKILL; returns how many of its parts were done."""
    process = subprocess.Popen(million_rows(*SWEEP, "--checkpoint", checkpoint), stdout=subprocess.DEVNULL)
    while process.poll() is None and parts_done(checkpoint) < KILLED_AFTER:
        time.sleep(0.05)
    if process.poll() is not None:
        raise RuntimeError(f"the sweep ended before {KILLED_AFTER} parts of it were in its checkpoint")
    process.kill()
    process.wait()
    return parts_done(checkpoint)


def sweeps(folder: Path) -> dict[str, Any]:
    """Ten layers of a million rows; then one pair with RBF, undisturbed, and again killed and resumed."""
    load = OthersLoad()
    ten = compared(folder, "--layers", "10")
    whole = compared(folder, *SWEEP, "--checkpoint", folder / "whole.npz")
    done = killed_sweep(folder / "killed.npz")
    rest = compared(folder, *SWEEP, "--checkpoint", folder / "killed.npz")
    return {
        "ten_layers": ten,
        "pair": whole,
        "killed": {
            "parts": done,
            "cpu_seconds": rest["cpu_seconds"],
            "same_bits": rest["digest"] == whole["digest"],
        },
        "others_load": load.share(),
    }


def measure(name: str, folder: Path) -> dict[str, Any]:
    """One entry of the JSON; the example writes its figures and numbers into the folder."""
    if name == MILLION_ROWS:
        with tempfile.TemporaryDirectory() as scratch:
            return sweeps(Path(scratch))
    out = EXAMPLE_OUT[name]
    return run(name, *([] if out is None else ["--out", folder / out]))


def record(out: Path, now: dict[str, Any], name: str, entry: dict[str, Any]) -> None:
    """Adds an example's numbers to the record of the same machine and commit; removes its older ones."""
    recordings = json.loads(out.read_text())["recordings"] if out.exists() else []
    for recording in recordings:
        recording["examples"].pop(name, None)
    alike = [r for r in recordings if all(r[key] == now[key] for key in ("machine", "commit", "versions"))]
    if not alike:
        alike = [now | {"examples": {}}]
        recordings += alike
    alike[0]["examples"][name] = entry
    found = {"recordings": [recording for recording in recordings if recording["examples"]]}
    out.write_text(json.dumps(found, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.examples", description=__doc__)
    parser.add_argument("--only", action="append", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument(
        "--keep",
        action="append",
        default=[],
        choices=[name for name, out in EXAMPLE_OUT.items() if out],
        metavar="NAME",
        help="write its figure and numbers into docs/images",
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "examples.json", metavar="FILE")
    arguments = parser.parse_args()
    now, failed = conditions(), []
    with tempfile.TemporaryDirectory() as scratch:
        for name in arguments.only or NAMES:
            entry = measure(name, PICTURES if name in arguments.keep else Path(scratch))
            print(name, entry, flush=True)
            if "failed" in entry:
                failed.append(name)
            else:
                record(arguments.out, now, name, entry)
    sys.exit(" ".join(["failed:", *failed]) if failed else 0)


if __name__ == "__main__":
    main()

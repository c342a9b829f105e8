#!/usr/bin/env python3
"""faults.py BUILD [--quick] [WORDS]: plants the faults of faults.toml in the CUDA kernels, one at a time.

Each must fail the tests: by wrong answers, by an error of the emulator or, where BUILD is made for
ThreadSanitizer, as a race. BUILD was made by CMake and Ninja with -DGRAMLESS_CUDA_EMULATOR=ON. With WORDS
only faults whose name contains them are planted, with --quick only the first one for each group of tests.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Small problems in all schedules against the truth, for a fault in one of these sources; else those of HSIC.
TESTS = {
    "contrast": "contrastive_losses_have",
    "contrast_coefficients": "contrastive_losses_have",
    "distill_grad": "distill",
    "distill_sums": "distill",
    "distillation": "distill",
    "gram_sweep": "hsic_matrix",
    "gram_sums_hopper": "on_hopper_has",
    "hardest_limits": "contrastive_losses_have",
    "hsic_matrix": "hsic_matrix",
    "kernel_grad": "gradients_of_hsic",
    "median": "median_of_integers",
    "softmax_grad": "contrastive_losses_have",
    "softmax_sums": "contrastive_losses_have",
    "softmax_hopper": "contrastive_losses_on_hopper_have",
}


@dataclass(frozen=True)
class Fault:
    name: str
    file: str  # under csrc
    right: str
    wrong: str
    sources: list[str]  # of csrc/ops, compiled anew
    race: bool = False

    def plant(self, csrc: Path) -> None:
        text = (csrc / self.file).read_text()
        found = text.count(self.right)
        if found != 1:
            raise SystemExit(f"{self.name}: {self.file} has {found} times {self.right!r}")
        (csrc / self.file).write_text(text.replace(self.right, self.wrong))


class Build:
    """How the tests were compiled and linked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        entries = json.loads((folder / "compile_commands.json").read_text())
        self.compile = {
            Path(entry["file"]).stem: shlex.split(entry["command"])
            for entry in entries
            if entry["file"].endswith(".cu") and "cuda_emulated" in entry["command"]
        }
        listed = subprocess.run(
            ["ninja", "-t", "commands", "test_cuda"], capture_output=True, text=True, check=True, cwd=folder
        )
        self.link = shlex.split(listed.stdout.splitlines()[-1].split("&&")[1])
        self.tells_races = "-fsanitize=thread" in self.link

    def rebuild(self, fault: Fault, work: Path) -> Path:
        objects = []
        for stem in fault.sources:
            words = [word.replace(str(ROOT / "csrc"), str(work / "csrc")) for word in self.compile[stem]]
            objects.append(str(work / f"{stem}.o"))
            words[words.index("-o") + 1] = objects[-1]
            subprocess.run([*words, "-w"], check=True, cwd=self.folder)
        words = list(self.link)
        words[words.index("-o") + 1] = str(work / "test")
        first = next(i for i, word in enumerate(words) if word.endswith(".o"))
        subprocess.run([*words[:first], *objects, *words[first:]], check=True, cwd=self.folder)
        return work / "test"


def tests_for(fault: Fault) -> str:
    return TESTS.get(fault.sources[0], "hsic_has")


def is_told(fault: Fault, build: Build) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        subprocess.run(["cp", "-r", ROOT / "csrc", work], check=True)
        fault.plant(work / "csrc")
        test = build.rebuild(fault, work)
        tests = tests_for(fault)
        try:
            return subprocess.run([test, tests], capture_output=True, timeout=300).returncode != 0
        except subprocess.TimeoutExpired:
            return True


def main() -> int:
    folder, *words = (word for word in sys.argv[1:] if word != "--quick")
    build = Build(Path(folder).resolve())
    listed = tomllib.loads(Path(__file__).with_name("faults.toml").read_text())["fault"]
    faults = [Fault(**entry) for entry in listed]
    chosen = [fault for fault in faults if " ".join(words) in fault.name and fault.race == build.tells_races]
    if "--quick" in sys.argv:
        chosen = list({tests_for(fault): fault for fault in reversed(chosen)}.values())
    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(lambda fault: is_told(fault, build), chosen))
    for fault, known in zip(chosen, told, strict=True):
        print(f"{'told' if known else 'NOT TOLD'}: {fault.name}")
    print(f"{sum(told)} of {len(chosen)} planted faults are told")
    return 0 if chosen and all(told) else 1


if __name__ == "__main__":
    sys.exit(main())

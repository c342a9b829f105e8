"""Faults of the CUDA kernels in the emulator: a few of its sources are compiled anew and linked again."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path

from compiling import NotCompiled
from faults import ROOT, Fault, kernel_tests
from switched import choice, plant

LIMIT = 300  # CPU seconds of tests; not ending counts as noticed
OTHER_KERNELS = ("hsic_has_spreads", "hsic_has")  # tests of a kernel without an entry of its own
MOST_SOURCES = 3  # that are compiled anew for a generated fault in a header


class Cuda:
    """How the tests over the emulated kernels were compiled and linked."""

    one_tree = False

    def __init__(self, folder: Path, known: Sequence[Fault]) -> None:
        self.folder, self.known, self.tests = folder, known, kernel_tests()
        entries = json.loads((folder / "compile_commands.json").read_text())
        self.compile = {
            Path(entry["file"]).stem: shlex.split(entry["command"])
            for entry in entries
            if (entry["file"].endswith(".cu") and "cuda_emulated" in entry["command"])
            or Path(entry["file"]).parent == ROOT / "tests/cuda"
        }
        self.link = shlex.split(self._ninja("commands", "test_cuda").splitlines()[-1].split("&&")[1])
        self.tells_races = "-fsanitize=thread" in self.link
        self.users = self._users()

    def close(self) -> None:
        """Stops all processes."""

    def together(self, fault: Fault) -> Hashable:
        """The common key of faults that may be compiled together."""
        return tuple(fault.cuda)

    def notices(self, faults: Sequence[Fault]) -> Iterator[bool]:
        """Whether the tests fail with each fault: wrong results, an emulator's error, a race or a timeout."""
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            subprocess.run(["cp", "-r", ROOT / "csrc", work], check=True)
            plant(work, faults)
            test = self._rebuilt(faults[0].cuda, work)
            sound = set[str]()  # tests that pass while no fault runs
            for fault in faults:
                failed = next(
                    (
                        word
                        for word in self._words(fault)
                        if not self._passes(test, word, choice(faults, fault))
                    ),
                    "",
                )
                if failed and len(faults) > 1 and failed not in sound:
                    if not self._passes(test, failed, choice(faults, None)):
                        raise NotCompiled("the tests fail where no fault is chosen")
                    sound.add(failed)
                yield failed != ""

    def with_tests(self, fault: Fault) -> list[Fault]:
        """A generated fault with kernels whose tests should notice it: those of its file, then more."""
        file = Path(fault.file)
        known = [one.cuda for one in self.known if one.file_in(ROOT) == file]
        stems = [file.stem] if file.suffix == ".cu" else [stem for stems in known for stem in stems]
        users = self.users.get(file, [])
        chosen = [stem for stem in dict.fromkeys([*stems, *users]) if stem in self.compile]
        first, wider = chosen[:MOST_SOURCES], chosen[: 3 * MOST_SOURCES]
        narrow = dataclasses.replace(fault, cuda=first)
        return [narrow, dataclasses.replace(narrow, cuda=wider, only="_")] if first else []

    def _words(self, fault: Fault) -> list[str]:
        """Parts of the names of tests, those of quick ones first."""
        if fault.only:
            return [fault.only]
        words = [self.tests.get(stem, OTHER_KERNELS) for stem in fault.cuda]
        return list(dict.fromkeys([*(word[0] for word in words), *(word[-1] for word in words)]))

    def _passes(self, test: Path, word: str, chosen: dict[str, str]) -> bool:
        limited = ["bash", "-c", 'ulimit -t "$0" && exec "$@"', str(LIMIT), test, word, "-x"]
        return (
            subprocess.run(limited, env=os.environ | chosen, capture_output=True, check=False).returncode == 0
        )

    def _rebuilt(self, stems: Sequence[str], work: Path) -> Path:
        objects = []
        for stem in stems:
            words = [word.replace(str(ROOT / "csrc"), str(work / "csrc")) for word in self.compile[stem]]
            objects.append(str(work / f"{stem}.o"))
            words[words.index("-o") + 1] = objects[-1]
            done = subprocess.run(
                [*words, "-w"], cwd=self.folder, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise NotCompiled(done.stderr)
        words = list(self.link)
        words[words.index("-o") + 1] = str(work / "test")
        first = next(i for i, word in enumerate(words) if word.endswith(".o"))
        subprocess.run([*words[:first], *objects, *words[first:]], check=True, cwd=self.folder)
        return work / "test"

    def _users(self) -> dict[Path, list[str]]:
        """The kernels that are compiled with each source."""
        found: dict[Path, list[str]] = {}
        user = ""
        for line in self._ninja("deps").splitlines():
            if match := re.match(r"\S*cuda_emulated\S*/(\w+)\.cu\.o:", line):
                user = match[1]
            elif not line.startswith(" "):
                user = ""
            elif user:
                file = (self.folder / line.strip()).resolve()
                if file.is_relative_to(ROOT / "csrc"):
                    found.setdefault(file.relative_to(ROOT), []).append(user)
        return found

    def _ninja(self, tool: str, *arguments: str) -> str:
        command = ["ninja", "-t", tool, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=self.folder).stdout

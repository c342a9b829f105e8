"""The tables of faults: what is planted where, and which tests should notice it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from places import files_called, sources, spans

ROOT = Path(__file__).parents[2]
TABLES = {target: Path(__file__).with_name(f"{target}.toml") for target in ("cpu", "cuda")}
EQUIVALENT = Path(__file__).with_name("equivalent.toml")


@dataclass(frozen=True)
class Fault:
    """`find`, which stands once in `file`, or once in its function `within`, becomes `replace`."""

    name: str
    file: str  # its name, with enough of its folders to be unique
    find: str  # compared without white space
    replace: str
    within: str = ""
    span: tuple[int, int] | None = None  # of a generated fault, whose text may stand elsewhere, too
    cpp: list[str] = field(default_factory=list)  # of tests/cpp, without test_ and .cpp
    pytest: list[str] = field(default_factory=list)  # arguments of pytest
    cuda: list[str] = field(default_factory=list)  # compiled anew: kernels, and tests that include the file
    only: str = ""  # of the tests in C++, the ones with this in their name
    built_for: Literal["vectors", "wide vectors", "matrix unit"] = (
        "vectors"  # what the tests of tests/cpp run
    )
    race: bool = False  # which only ThreadSanitizer sees
    quick: bool = False  # for every run of CI

    def file_in(self, root: Path) -> Path:
        """The file, relative to the root: the one of its name or else the only one with its text."""
        named = files_called(root, self.file)
        if len(named) == 1:
            return named[0]
        if named:
            raise ValueError(
                f"{self.name}: {len(named)} files are called {self.file}: {', '.join(map(str, named))}"
            )
        holding = [
            file for file in sources(root) if len(self._spans((root / file).read_text(), file.suffix)) == 1
        ]
        if len(holding) != 1:
            raise ValueError(
                f"{self.name}: no file is called {self.file}, and {self.find!r} stands in "
                f"{len(holding)} files"
            )
        return holding[0]

    def planted(self, text: str, suffix: str) -> str:
        """The text of the file with the fault; raises ValueError if it cannot be planted as described."""
        start, stop = self.place(text, suffix)
        return text[:start] + self.replace.strip() + text[stop:]

    def place(self, text: str, suffix: str) -> tuple[int, int]:
        """The place of the fault; raises ValueError if the text does not occur exactly once."""
        found = [self.span] if self.span else self._spans(text, suffix)
        if len(found) != 1:
            where = f"{self.within} of {self.file}" if self.within else self.file
            raise ValueError(f"{self.name}: {self.find!r} stands {len(found)} times in {where}")
        return found[0]

    def _spans(self, text: str, suffix: str) -> list[tuple[int, int]]:
        return spans(text, suffix, self.find, self.within)


@dataclass(frozen=True)
class Equivalent:
    """Generated faults that change no result, with the reason: of a line, a function or a whole file."""

    file: str
    reason: str
    within: str = ""
    line: str = ""
    operator: str = ""


def read_faults(target: str) -> list[Fault]:
    """All faults of a target's table."""
    return [Fault(**fault) for fault in _entries(TABLES[target], "fault")]


def read_equivalents() -> list[Equivalent]:
    return [Equivalent(**entry) for entry in _entries(EQUIVALENT, "equivalent")]


def kernel_tests() -> dict[str, tuple[str, ...]]:
    """For each source of CUDA kernels, parts of names of tests that notice its faults, quick ones first."""
    table = tomllib.loads(TABLES["cuda"].read_text(encoding="utf-8"))["tests"]
    return {stem: tuple(words) for stem, words in table.items()}


def _entries(table: Path, kind: str) -> list[dict[str, Any]]:
    return list(tomllib.loads(table.read_text(encoding="utf-8")).get(kind, []))

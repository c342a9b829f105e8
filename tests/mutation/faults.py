"""The table of faults: what is planted where, and which part of the suite has to notice it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("faults.toml")


@dataclass(frozen=True)
class Fault:
    """`find`, which stands once in `file`, becomes `replace`."""

    name: str
    file: str
    find: str
    replace: str
    cpp: list[str] = field(default_factory=list)  # of tests/cpp, without test_ and .cpp
    only: str = ""  # of those C++ tests, the ones with this in their name
    pytest: list[str] = field(default_factory=list)  # arguments of pytest
    built_for: Literal["vectors", "wide vectors", "matrix unit"] = "vectors"  # what the C++ tests run
    quick: bool = False

    def planted(self, text: str) -> str:
        """The file with the fault; raises ValueError where it cannot be planted as described."""
        count = text.count(self.find)
        if count != 1:
            raise ValueError(f"{self.name}: the text to replace stands {count} times in {self.file}")
        return text.replace(self.find, self.replace)


def read_faults() -> list[Fault]:
    """All faults of the table."""
    with TABLE.open("rb") as file:
        return [Fault(**fault) for fault in tomllib.load(file)["fault"]]

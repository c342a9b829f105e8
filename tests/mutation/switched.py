"""Several faults in one program: a function is copied once per fault, and the environment chooses a copy.

Compiling takes most of the time of a fault, so faults of the same sources are compiled together. A fault
outside of all functions, or in a constexpr function, is planted alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path

from faults import ROOT, Fault
from places import Function, body_around

CHOICE = "GRAMLESS_FAULT"  # the number of the fault that is to run, from 1; none: no fault
MOST_TOGETHER = 12
COMPILED = {".cpp", ".hpp", ".cu", ".cuh"}
_PRELUDE = f"""#ifndef GRAMLESS_FAULTS
#define GRAMLESS_FAULTS
#include <cstdlib>
namespace gramless_faults {{
inline const int chosen = std::getenv("{CHOICE}") ? std::atoi(std::getenv("{CHOICE}")) : 0;
}}
#endif
"""


def groups(faults: Iterable[Fault], key: Callable[[Fault], Hashable]) -> list[list[Fault]]:
    """Faults to compile together: those of one key, each a copy of a function; all others alone."""
    open_groups: dict[Hashable, list[Fault]] = {}
    found: list[list[Fault]] = []
    for fault in faults:
        same = key(fault) if _switchable(fault) else None
        group = open_groups.get(same)
        if same is None or group is None or len(group) == MOST_TOGETHER:
            group = []
            found.append(group)
            if same is not None:
                open_groups[same] = group
        group.append(fault)
    return found


def plant(root: Path, faults: Sequence[Fault]) -> dict[Path, str]:
    """Plants one fault, or several of which none runs unless chosen; returns the original files."""
    before: dict[Path, str] = {}
    numbered: dict[Path, dict[int, Fault]] = {}
    for number, fault in enumerate(faults, 1):
        path = fault.file_in(ROOT)
        before[path] = (root / path).read_text(encoding="utf-8")
        numbered.setdefault(path, {})[number] = fault
    for path, some in numbered.items():
        text = before[path]
        changed = faults[0].planted(text, path.suffix) if len(faults) == 1 else switched(text, path, some)
        (root / path).write_text(changed, encoding="utf-8")
    return before


def choice(faults: Sequence[Fault], fault: Fault | None) -> dict[str, str]:
    """The environment in which a fault of a group runs, or none of them."""
    return {CHOICE: str(faults.index(fault) + 1 if fault else 0)}


def switched(text: str, path: Path, faults: dict[int, Fault]) -> str:
    """The source in which the environment chooses among the faults by their numbers."""
    copies: dict[Function, list[str]] = {}
    for number, fault in faults.items():
        start, stop = fault.place(text, path.suffix)
        body = body_around(text, path.suffix, start, stop)
        if body is None:
            raise ValueError(f"{fault.name}: stands in no function of {path}")
        copy = f"{text[body.start : start]}{fault.replace.strip()}{text[stop : body.stop]}"
        copies.setdefault(body, []).append(f"if (gramless_faults::chosen == {number}) {copy}\nelse ")
    for body in sorted(copies, key=lambda one: one.start, reverse=True):
        chosen = "".join(copies[body]) + text[body.start : body.stop]
        text = f"{text[: body.start]}{{ {chosen} }}{text[body.stop :]}"
    return _PRELUDE + text


def _switchable(fault: Fault) -> bool:
    path = fault.file_in(ROOT)
    if path.suffix not in COMPILED:
        return False
    text = (ROOT / path).read_text(encoding="utf-8")
    return body_around(text, path.suffix, *fault.place(text, path.suffix)) is not None

"""The machine code of CUDA kernels, as cuobjdump prints it: instructions, blocks, and paths through them."""

from __future__ import annotations

import functools
import itertools
import math
import os
import re
import shutil
import subprocess
import sysconfig
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

STRICT = ("-Werror", "all-warnings", "-Xptxas", "-warn-spills,-warn-lmem-usage,-Werror")
_LINE = re.compile(r"\s+/\*([0-9a-f]{4,})\*/\s+(@!?U?P\w+ )?\s*([A-Z][\w.]*)([^;]*);")
_TARGET = re.compile(r"(?:BRA|JMP)\b.*\b(0x[0-9a-f]+)")


@dataclass(frozen=True)
class Instruction:
    address: int
    predicated: bool
    opcode: str
    operands: str

    @property
    def target(self) -> int | None:
        found = _TARGET.search(f"{self.opcode}{self.operands}")
        return int(found[1], 16) if found else None

    @property
    def ends_flow(self) -> bool:
        """Whether the next instruction is reached only by a branch."""
        name, *kind = self.opcode.split(".")
        conditional = (
            self.predicated
            or "DIV" in kind
            or "CONV" in kind
            or re.match(r"\s*!?U?P\d", self.operands) is not None
        )
        return name in ("EXIT", "BRA", "JMP", "RET", "BRX", "TRAP") and not conditional


@dataclass(frozen=True)
class Resources:
    registers: int
    stack: int
    local: int


@dataclass
class Kernel:
    """One kernel for one architecture."""

    architecture: str
    name: str  # mangled
    resources: Resources
    instructions: list[Instruction] = field(default_factory=list)

    def counts(self) -> Counter[str]:
        return Counter(instruction.opcode for instruction in self.instructions)


def compile_source(source: Path, folder: Path, architectures: Iterable[str], *, include: Path) -> Path:
    """An object file with the code for each architecture; a warning or a spilled register is an error."""
    target = folder / f"{source.stem}.o"
    codes = [word for a in architectures for word in ("-gencode", f"arch=compute_{a},code=sm_{a}")]
    command = ["nvcc", "-std=c++20", "-O3", f"-I{include}", *STRICT, *codes, "-c", source, "-o", target]
    said = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if "Performance Loss" in said.stdout:  # serialised products of a warpgroup, which are no warning
        raise SystemExit(said.stdout)
    return target


def cuobjdump(*arguments: str) -> str:
    wheel = Path(sysconfig.get_path("purelib"), "nvidia", "cu13", "bin")
    path = f"{wheel}{os.pathsep}{os.environ['PATH']}"  # cuobjdump also looks for nvdisasm there
    tool = shutil.which("cuobjdump", path=path)
    if tool is None:
        raise SystemExit("cuobjdump is missing: install the CUDA toolkit or nvidia-cuda-cuobjdump")
    environment = os.environ | {"PATH": path}
    return subprocess.run(
        [tool, *arguments], capture_output=True, text=True, check=True, env=environment
    ).stdout


def kernels_of(target: Path) -> list[Kernel]:
    """Every kernel of an object file, for every architecture."""
    found: dict[tuple[str, str], Kernel] = {}
    architecture = name = ""
    for line in cuobjdump("--dump-resource-usage", str(target)).splitlines():
        if match := re.search(r"arch = (\S+)", line):
            architecture = match[1]
        if match := re.search(r"Function (\S+):", line):
            name = match[1]
        if match := re.search(r"REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)", line):
            found[architecture, name] = Kernel(architecture, name, Resources(*map(int, match.groups())))
    for line in cuobjdump("-sass", str(target)).splitlines():
        if match := re.search(r"arch = (\S+)", line):
            architecture = match[1]
        if match := re.search(r"Function : (\S+)", line):
            name = match[1]
        if match := _LINE.match(line):
            address, predicate, opcode, operands = match.groups()
            instruction = Instruction(int(address, 16), predicate is not None, opcode, operands)
            found[architecture, name].instructions.append(instruction)
    return [found[key] for key in sorted(found)]


@dataclass
class Block:
    """Instructions that run one after the other."""

    start: int
    instructions: list[Instruction] = field(default_factory=list)
    next: list[int] = field(default_factory=list)  # starts of the blocks that may follow

    def count(self, pattern: re.Pattern[str]) -> int:
        return sum(bool(pattern.match(i.opcode + i.operands)) for i in self.instructions)


def blocks_of(instructions: list[Instruction]) -> dict[int, Block]:
    """Basic blocks, by the address of their first instruction."""
    addresses = {instruction.address for instruction in instructions}
    starts = {instructions[0].address}
    for before, after in itertools.pairwise(instructions):
        if before.target is not None or before.ends_flow:
            starts.add(after.address)
        if before.target in addresses:
            starts.add(before.target)
    found: dict[int, Block] = {}
    for instruction in instructions:
        if instruction.address in starts:
            block = found[instruction.address] = Block(instruction.address)
        block.instructions.append(instruction)
    ordered = sorted(found)
    for start, following in zip(ordered, [*ordered[1:], None], strict=True):
        last = found[start].instructions[-1]
        if last.target in addresses:
            found[start].next.append(last.target)
        if following is not None and not last.ends_flow:
            found[start].next.append(following)
    return found


@dataclass(frozen=True)
class Loop:
    """A natural loop: its first block, and all of its blocks."""

    head: int
    blocks: frozenset[int]


class Flow:
    """The control flow between blocks."""

    def __init__(self, blocks: dict[int, Block]) -> None:
        self.blocks = blocks
        self.order = self._reverse_postorder()
        self.place = {start: i for i, start in enumerate(self.order)}
        self.before: dict[int, list[int]] = defaultdict(list)
        for start in self.order:
            for following in blocks[start].next:
                self.before[following].append(start)
        self._dominators = self._immediate_dominators()
        self.loops = self._natural_loops()

    def _reverse_postorder(self) -> list[int]:
        entry = min(self.blocks)
        found, seen, stack = [], {entry}, [(entry, iter(self.blocks[entry].next))]
        while stack:
            start, following = stack[-1]
            new = next((n for n in following if n not in seen), None)
            if new is None:
                found.append(start)
                stack.pop()
            else:
                seen.add(new)
                stack.append((new, iter(self.blocks[new].next)))
        return found[::-1]

    def _immediate_dominators(self) -> dict[int, int]:
        """The immediate dominator of every block, with the algorithm of Cooper, Harvey and Kennedy 2001."""
        entry = self.order[0]
        found, changed = {entry: entry}, True

        def common(a: int, b: int) -> int:
            while a != b:
                if self.place[a] > self.place[b]:
                    a = found[a]
                else:
                    b = found[b]
            return a

        while changed:
            changed = False
            for start in self.order[1:]:
                known = [b for b in self.before[start] if b in found]
                new = functools.reduce(common, known)
                if found.get(start) != new:
                    found[start], changed = new, True
        return found

    def _dominates(self, first: int, second: int) -> bool:
        while self.place[second] > self.place[first]:
            second = self._dominators[second]
        return first == second

    def _natural_loops(self) -> list[Loop]:
        """The natural loops, innermost first."""
        bodies: dict[int, set[int]] = defaultdict(set)
        for start in self.order:
            for head in self.blocks[start].next:
                if not self._dominates(head, start):
                    continue
                inside, waiting = {head, start}, [start]
                while waiting:
                    current = waiting.pop()
                    new = set(self.before[current]) - inside if current != head else set()
                    inside |= new
                    waiting += new
                bodies[head] |= inside
        found = [Loop(head, frozenset(inside)) for head, inside in bodies.items()]
        return sorted(found, key=lambda loop: len(loop.blocks))

    def cheapest_path(
        self,
        start: int,
        inside: frozenset[int],
        weight: Callable[[Block], float],
        marks: Callable[[Block], int],
        wanted: int,
    ) -> list[Block]:
        """The path through some of the blocks with the least sum of weights, among those with the wanted
        number of marks. It ends where control leaves the blocks or returns to the start, and has no other
        backward edge. Empty if there is no such path.
        """
        # For each block and number of marks: the weight, and the previous block with its marks.
        best: dict[int, dict[int, tuple[float, tuple[int, int] | None]]] = defaultdict(dict)
        best[start][marks(self.blocks[start])] = weight(self.blocks[start]), None
        ends: list[int] = []
        for current in sorted(inside, key=self.place.__getitem__):
            if not best[current]:
                continue
            following = self.blocks[current].next
            if not following or any(n not in inside or n == start for n in following):
                ends.append(current)
            for new in following:
                if new not in inside or self.place[new] <= self.place[current]:
                    continue
                own, own_marks = weight(self.blocks[new]), marks(self.blocks[new])
                for count, (total, _) in best[current].items():
                    marked = count + own_marks
                    if marked > wanted or best[new].get(marked, (math.inf,))[0] <= total + own:
                        continue
                    best[new][marked] = total + own, (current, count)
        reached = [end for end in ends if wanted in best[end]]
        if not reached:
            return []
        step: tuple[int, int] | None = (min(reached, key=lambda end: best[end][wanted][0]), wanted)
        path = []
        while step is not None:
            path.append(self.blocks[step[0]])
            step = best[step[0]][step[1]][1]
        return path[::-1]

"""The problems that are timed on a GPU, the most informative first."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

NT_XENT, FORWARD, PAIR, PAIR_GRAD, SWEEP, MEDIAN = (
    "nt_xent",
    "nt_xent forward",
    "cka",
    "cka grad",
    "sweep",
    "median",
)
TEMPERATURE = 0.1


@dataclass(frozen=True)
class Problem:
    """A problem of n rows; for NT-Xent, n counts the rows of both views."""

    kind: str
    n: int
    d: int
    dtype: str = "bfloat16"
    layers: int = 2

    @property
    def name(self) -> str:
        layers = f" L={self.layers}" if self.kind == SWEEP else ""
        return f"{self.kind} {self.n}x{self.d}{layers} {self.dtype}"

    @property
    def sigma(self) -> float:
        return float(2 * self.d) ** 0.5

    @property
    def flops(self) -> float:
        """The FLOPs of one dot product for each pair of rows, and of a backward without stored weights."""
        pairs = float(self.n) ** 2 * self.d
        of_kind = {NT_XENT: 5.0, FORWARD: 1.0, PAIR: 2.0, PAIR_GRAD: 10.0, MEDIAN: 1.0}
        if self.kind == SWEEP:
            return pairs * self.layers + float(self.n) ** 2 * self.layers**2 / 2
        return of_kind[self.kind] * pairs

    def small(self) -> Problem:
        """The problem at a size for which the n x n code is quick."""
        return replace(self, n=min(self.n, 512), layers=min(self.layers, 3))

    def tiny(self) -> Problem:
        """The problem at a size for a rehearsal."""
        return replace(self, n=min(self.n, 48), d=min(self.d, 72), layers=min(self.layers, 3))

    def inputs(self, where: str) -> list[Tensor]:
        """Random rows, equal in every call: both views, or all layers, which share the first as a part."""
        rows = self.n // 2 if self.kind in (NT_XENT, FORWARD) else self.n
        count = self.layers if self.kind == SWEEP else 1 if self.kind == MEDIAN else 2
        generator = torch.Generator(where).manual_seed(0)
        found = [torch.randn(rows, self.d, device=where, generator=generator) for _ in range(count)]
        return [(x if x is found[0] else x + found[0]).to(getattr(torch, self.dtype)) for x in found]


def problems() -> list[Problem]:
    return [
        Problem(NT_XENT, 65_536, 128),
        Problem(PAIR, 65_536, 1024),
        Problem(SWEEP, 10_000, 1024, "float32", 50),
        Problem(NT_XENT, 8192, 128),
        Problem(FORWARD, 65_536, 128),
        Problem(PAIR, 65_536, 1024, "float32"),
        Problem(SWEEP, 10_000, 1024, "bfloat16", 50),
        Problem(PAIR, 8192, 512),
        Problem(PAIR, 32_768, 1024),
        Problem(NT_XENT, 65_536, 128, "float32"),
        Problem(NT_XENT, 65_536, 512),
        Problem(PAIR_GRAD, 8192, 512, "float32"),
        Problem(MEDIAN, 32_768, 512, "float32"),
        Problem(PAIR, 32_768, 128),
        Problem(NT_XENT, 262_144, 128),
    ]


def once() -> list[Problem]:
    """One problem for each of the most expensive kernels."""
    return [
        Problem(NT_XENT, 65_536, 128),
        Problem(PAIR, 32_768, 1024),
        Problem(SWEEP, 10_000, 1024, "float32", 10),
    ]

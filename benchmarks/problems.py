"""What is measured: sizes, kernels, necessary FLOPs and input data. Knows no rival."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import gramless as gl
import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float32]
Kind: TypeAlias = Literal["pair", "sweep", "median", "distances", "pvalue", "nt_xent", "info_nce", "cka_grad"]
Bandwidth: TypeAlias = Literal["given", "median", "kornblith"]


@dataclass(frozen=True)
class Problem:
    """One computation of one size. `once` is run a single time, in the process that measures its memory.

    n counts rows: of NT-Xent and InfoNCE, those of both views. Losses are measured forward and backward.
    """

    name: str
    kind: Kind
    n: int
    d: int
    kernel: Literal["linear", "rbf"] = "rbf"
    bandwidth: Bandwidth = "given"
    estimator: Literal["unbiased", "biased"] = "unbiased"
    layers: int = 2
    offset: float = 0.0  # added to every value
    once: bool = False
    group: str = ""  # the table it is reported in
    only: tuple[str, ...] = ()  # rivals; empty: all that can
    series: bool = False  # a point of the scaling figure
    memory: bool = True  # whether its peak memory is measured
    temperature: float = 0.1  # of NT-Xent and InfoNCE

    @property
    def sigma(self) -> float:
        """About the median distance of the rows of `inputs`."""
        return math.sqrt(2.0 * self.d)

    @property
    def gramless_kernel(self) -> gl.Linear | gl.RBF:
        if self.kernel == "linear":
            return gl.Linear()
        if self.bandwidth == "given":
            return gl.RBF(sigma=self.sigma)
        if self.bandwidth == "kornblith":
            return gl.RBF(scale=0.5, include_diagonal=True)
        return gl.RBF()

    @property
    def flops(self) -> float:
        """The FLOPs nobody can save: a dot product for every pair of rows, or of features, counted once."""
        n, d, layers = float(self.n), float(self.d), self.layers
        if self.kind in ("median", "distances"):
            return n * n * d
        if self.kind in ("nt_xent", "info_nce", "cka_grad"):
            matrices = {"nt_xent": 1.0, "info_nce": 0.5, "cka_grad": 2.0}[self.kind]  # of n x n, symmetric
            return 3 * n * n * d * matrices  # pairs once, and their derivatives times rows for both of them
        if self.kind == "sweep":
            gram = n * n * d * layers + layers * layers * n * n / 2
            features = n * (d * layers) ** 2
        else:
            gram, features = 2 * n * n * d, 4 * n * d * d
        return min(gram, features) if self.kernel == "linear" else gram

    def inputs(self) -> list[Array]:
        """Layers that share half their signal, (n, d) each; built in place, for memory is measured after.

        NT-Xent and InfoNCE have two views of n / 2 rows.
        """
        if self.kind in ("nt_xent", "info_nce"):
            return self.views()
        rng = np.random.default_rng(self.n * 7919 + self.d)
        count = 1 if self.kind in ("median", "distances") else self.layers
        shared = rng.standard_normal((self.n, min(self.d, 16)), dtype=np.float32)
        arrays = []
        for _ in range(count):
            x = rng.standard_normal((self.n, self.d), dtype=np.float32)
            x[:, : shared.shape[1]] += shared
            x += np.float32(self.offset)
            arrays.append(x)
        return arrays

    def views(self) -> list[Array]:
        """Two noisy views of random rows, (n / 2, d) each."""
        rng = np.random.default_rng(self.n * 7919 + self.d)
        base = rng.standard_normal((self.n // 2, self.d), dtype=np.float32)
        noise = [rng.standard_normal(base.shape, dtype=np.float32) for _ in range(2)]
        return [base + np.float32(0.5) * change for change in noise]

    def small(self) -> Problem:
        """The same code path on sizes for which the n x n float64 reference is quick."""
        return replace(self, n=min(self.n, 200), d=min(self.d, 96), layers=min(self.layers, 4), once=False)


def _engine() -> list[Problem]:
    found = []
    for d in (64, 128, 512, 2048):
        only = () if d in (128, 512) else ("gramless", "torch eager")
        found.append(Problem(f"rbf-8192-{d}", "pair", 8192, d, group="engine", only=only))
    found += [
        Problem(f"rbf-median-8192-{d}", "pair", 8192, d, bandwidth="median", group="engine",
                only=("gramless", "torch eager"))
        for d in (128, 512)
    ]  # fmt: skip
    return found


def _scaling() -> list[Problem]:
    sizes = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
    only = ("gramless", "torch eager", "gramless.reference")
    return [
        Problem(f"scaling-{n}-{d}", "pair", n, d, group="scaling", only=only, series=True,
                memory=d == 512 and n >= 256)
        for d in (128, 512)
        for n in sizes
    ]  # fmt: skip


def _others() -> list[Problem]:
    kornblith = {"bandwidth": "kornblith", "estimator": "biased"}
    ours: tuple[str, ...] = ("gramless",)
    return [
        Problem("linear-8192-512", "pair", 8192, 512, kernel="linear", group="linear"),
        Problem("linear-512-2048", "pair", 512, 2048, kernel="linear", group="linear"),
        Problem("overhead", "pair", 16, 8, group="overhead"),
        Problem("overhead-linear", "pair", 16, 8, kernel="linear", group="overhead"),
        Problem("median-8192-512", "median", 8192, 512, group="median"),
        Problem("distances-8192-512", "distances", 8192, 512, group="median", only=ours),
        Problem("sweep-linear", "sweep", 4000, 512, kernel="linear", layers=20, group="peers"),
        Problem("sweep-linear-offset", "sweep", 4000, 512, kernel="linear", layers=20, offset=1000.0,
                group="peers"),
        Problem("sweep-linear-small", "sweep", 1000, 256, kernel="linear", layers=4, group="peers"),
        Problem("rbf-kornblith", "pair", 2048, 512, group="peers", **kornblith),  # type: ignore[arg-type]
        Problem("independence", "pvalue", 2000, 10, bandwidth="median", group="peers"),
        Problem("sweep-rbf", "sweep", 10_000, 1024, layers=50, once=True, group="large", only=ours),
        Problem("sweep-rbf-median", "sweep", 10_000, 1024, bandwidth="median", layers=50, once=True,
                group="large", only=ours),
        Problem("rbf-100000-256", "pair", 100_000, 256, once=True, group="large", only=ours),
        Problem("linear-100000-256", "pair", 100_000, 256, kernel="linear", once=True, group="large",
                only=ours),
    ]  # fmt: skip


def _losses() -> list[Problem]:
    found = [Problem(f"nt-xent-8192-{d}", "nt_xent", 8192, d, group="losses") for d in (128, 512)]
    found += [
        Problem(f"nt-xent-{n}-128", "nt_xent", n, 128, group="losses")
        for n in (64, 128, 256, 512, 1024, 2048)
    ]
    found.append(Problem("nt-xent-cold-2048-128", "nt_xent", 2048, 128, temperature=0.01, group="losses"))
    found.append(Problem("cka-grad-8192-512", "cka_grad", 8192, 512, group="losses"))
    found.append(
        Problem("nt-xent-65536-128", "nt_xent", 65_536, 128, once=True, group="losses", only=("gramless",))
    )
    return found


def _field() -> list[Problem]:
    """Where every peer takes part that has the function at all."""
    linear = {"kernel": "linear", "group": "field"}
    found = [
        Problem("field-linear", "pair", 2048, 512, **linear),  # type: ignore[arg-type]
        Problem("field-linear-offset", "pair", 2048, 512, offset=1000.0, **linear),  # type: ignore[arg-type]
        Problem("field-rbf", "pair", 2048, 64, group="field"),
        Problem("field-median", "median", 2048, 64, group="field"),
        Problem("field-info-nce", "info_nce", 2048, 128, group="field"),
    ]
    return [
        *found,
        *(Problem(f"field-nt-xent-{n}", "nt_xent", n, 128, group="field") for n in (128, 512, 2048)),
    ]


PROBLEMS = {p.name: p for p in [*_engine(), *_others(), *_losses(), *_field(), *_scaling()]}


def quick_problems(problems: Iterable[Problem]) -> list[Problem]:
    """What the problems are at small sizes, those that become the same only once."""
    found: dict[Problem, Problem] = {}
    for problem in map(quick, problems):
        found.setdefault(replace(problem, name="", group="", series=False), problem)
    return list(found.values())


def quick(problem: Problem) -> Problem:
    """The problem at a size that ends in moments: for trying the benchmarks, not for reporting."""
    return replace(problem, n=min(problem.n, 512), d=min(problem.d, 128), layers=min(problem.layers, 5))

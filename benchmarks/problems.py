"""One computation of one size, as contenders receive it. The module imports no library that is measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal[
    "pair", "sweep", "median", "distances", "pvalue", "mmd", "rsa", "mutual_knn", "nt_xent", "info_nce",
    "ranking", "guided", "siglip", "cka_grad", "step", "models",
]  # fmt: skip
Bandwidth: TypeAlias = Literal["given", "median", "kornblith"]
Data: TypeAlias = Literal["gaussian", "spectrum", "relu", "photos"]
LOSSES = ("nt_xent", "info_nce", "ranking", "guided", "siglip")
TRAINED = (*LOSSES, "cka_grad")  # measured forward and backward
SIGLIP_BIAS = -10.0  # of logits; their scale is 1 / temperature
ONE, ALL = ("1",), ("default",)  # threads; the default is what a library chooses by itself
BOTH = (*ALL, *ONE)


@dataclass(frozen=True)
class Problem:
    """One computation of one size.

    n counts rows: of contrastive losses, those of both views; of a training step, the images of both views;
    of two whole networks, the images. A ranking has n / 4 queries, as many positives and as many negatives.
    A guided loss has its own rows as guide.
    """

    name: str
    kind: Kind
    n: int
    d: int
    kernel: Literal["linear", "rbf", "distance", "polynomial"] = "rbf"
    bandwidth: Bandwidth = "given"
    estimator: Literal["unbiased", "biased"] = "unbiased"
    layers: int = 2
    data: Data = "relu"  # the data that is timed
    offset: float = 0.0  # added to every value
    dtype: Literal["float32", "float64", "float16", "bfloat16"] = "float32"
    temperature: float = 0.1  # of contrastive losses
    encoder: Literal["", "resnet", "transformer"] = ""  # of a training step
    sigma: float = 0.0  # a given bandwidth, which belongs to the data
    only: tuple[str, ...] = ()  # contenders; empty: all that can compute it
    threads: tuple[str, ...] = BOTH
    alternatives: tuple[str, ...] = BOTH  # of these threads, those that are tried for alternatives
    once: bool = False  # a single call without warming up, because repeating takes too long
    memory: bool = False  # whether the peak memory is measured
    timed: bool = True
    beside: str = ""  # a library whose threads have just worked in the same process
    curve: str = ""  # the curve of costs, or the figure on scaling, of which this is a point

    @property
    def flops(self) -> float:
        """The necessary FLOPs: a dot product for every pair of rows, or of features, counted once."""
        n, d, layers = float(self.n), float(self.d), self.layers
        if self.kind in ("median", "distances"):
            return n * n * d
        if self.kind == "mmd":
            return 4 * n * n * d
        if self.kind in TRAINED:
            matrices = {"nt_xent": 1.0, "ranking": 0.25, "guided": 4 / 3, "cka_grad": 2.0}.get(
                self.kind, 0.5
            )  # n x n, symmetric
            features = 12 * n * d * d if self.kernel == "linear" else float("inf")
            return min(3 * n * n * d * matrices, features)  # pairs once, and their derivatives times rows
        if self.kind in ("step", "models"):
            return 0.0
        return self._similarity_flops(n, d, layers)

    def _similarity_flops(self, n: float, d: float, layers: int) -> float:
        if self.kind == "sweep":
            gram = n * n * d * layers + layers * layers * n * n / 2
            features = n * (d * layers) ** 2
        else:
            gram, features = 2 * n * n * d, 4 * n * d * d
        return min(gram, features) if self.kernel == "linear" else gram

    @property
    def long(self) -> bool:
        """Whether a call takes about a second on one thread, or more."""
        return self.flops > 1e11 or (self.kind == "step" and self.n > 1024)

    @property
    def relative(self) -> bool:
        """Whether errors are taken relative to the answer, whose size is not about 1."""
        return self.kind in ("median", "distances")

    def small(self) -> Problem:
        """The same code path on sizes for which the n x n float64 reference is quick."""
        rows = 128 if self.kind == "models" else 200
        return replace(self, n=min(self.n, rows), d=min(self.d, 96), layers=min(self.layers, 4), once=False)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def from_json(fields: dict[str, Any]) -> Problem:
    return Problem(**fields | {name: tuple(fields[name]) for name in ("only", "threads", "alternatives")})


def quick(problem: Problem) -> Problem:
    """The problem at a small size, for trying the benchmarks and not for reporting."""
    rows = 16 if problem.kind in ("step", "models") or problem.n <= 16 else 128
    sized = replace(problem, n=rows, d=min(problem.d, 32), layers=min(problem.layers, 3), memory=problem.once)
    data: Data = "relu" if problem.data == "photos" else problem.data
    return replace(sized, data=data, threads=ONE, once=False)


def quick_problems(problems: list[Problem]) -> list[Problem]:
    """The problems at small sizes, without duplicates, each with all contenders of its duplicates."""
    found: dict[Problem, Problem] = {}
    for problem in map(quick, problems):
        key = replace(problem, name="", curve="", data="relu", only=(), memory=False, timed=True)
        same = found.setdefault(key, problem)
        only = (*same.only, *problem.only) if same.only and problem.only else ()
        found[key] = replace(same, only=tuple(dict.fromkeys(only)), memory=same.memory or problem.memory)
    return list(found.values())

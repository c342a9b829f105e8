"""What is measured: gramless, the obvious code written well, and other packages if they are installed.

A contender is a function that runs in its own process. Importing this package imports no contender.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..problems import LOSSES, TRAINED, Problem

Run = Callable[[Problem, Sequence[Any]], Any]
OURS = "gramless"
NUMPY, TORCH = ("numpy",), ("numpy", "torch")
STATISTICS = ("scipy", "sklearn")  # other packages import these


@dataclass(frozen=True)
class Contender:
    """One way to compute something.

    Its process imports `libraries`, and no other library that is measured.
    """

    name: str
    package: str  # the package that must be installed
    code: str  # module:function in this package
    can: Callable[[Problem], bool]
    inputs: str = "arrays"  # or "tensors", or "leaves", whose gradients are wanted
    libraries: tuple[str, ...] = NUMPY
    checked: bool = True  # whether its answer is that of the problem's other contenders
    compiles: bool = False  # whether its first call for a shape compiles
    threads: bool = True  # whether its number of threads can be set by the environment

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.package) is not None

    @property
    def is_ours(self) -> bool:
        return self.package == OURS

    def wanted(self, problem: Problem) -> bool:
        """Whether the problem includes it and it can compute the problem; it need not be installed."""
        return (not problem.only or self.name in problem.only) and self.can(problem)

    def load(self) -> Run:
        module, function = self.code.split(":")
        found: Run = getattr(importlib.import_module(f"{__name__}.{module}"), function)
        return found


def similarity(problem: Problem) -> bool:
    return problem.kind not in (*TRAINED, "step", "models")


def sixteen_bits(problem: Problem) -> bool:
    return problem.dtype in ("float16", "bfloat16")


def linear(problem: Problem) -> bool:
    return problem.kernel == "linear" and problem.estimator == "unbiased" and not sixteen_bits(problem)


def linear_sweep(problem: Problem) -> bool:
    return linear(problem) and problem.kind == "sweep"


def pair(problem: Problem) -> bool:
    return problem.kind == "pair" and not sixteen_bits(problem)


def _linear_pair_or_sweep(problem: Problem) -> bool:
    return linear(problem) and problem.kind in ("pair", "sweep")


def _small_sweep(problem: Problem) -> bool:
    return linear_sweep(problem) and problem.n * problem.layers**2 <= 16_000


def _given_rbf(problem: Problem) -> bool:
    return pair(problem) and problem.kernel == "rbf" and problem.bandwidth == "given"


def _nt_xent(largest: int) -> Callable[[Problem], bool]:
    return lambda problem: problem.kind == "nt_xent" and problem.n <= largest


def _ours(can: Callable[[Problem], bool], code: str, inputs: str, *libraries: str) -> Contender:
    return Contender(OURS, OURS, code, can, inputs, ("gramless", "numpy", *libraries))


def _torch(
    name: str, package: str, code: str, can: Callable[[Problem], bool], inputs: str, *more: str
) -> Contender:
    return Contender(name, package, code, can, inputs, (*TORCH, *more), compiles="compile" in code)


def _models(name: str, package: str, function: str, *more: str) -> Contender:
    libraries = (*TORCH, "efficientnet_lite_pytorch", *more)
    code, checked = (
        f"whole_models:{function}",
        function not in ("forward_run", "channels_last_run", "ours_exact_run"),
    )
    return Contender(
        name, package, code, lambda problem: problem.kind == "models", "tensors", libraries, checked
    )


OURS_CONTENDERS = [
    _ours(lambda p: similarity(p) and not sixteen_bits(p), "ours:run", "arrays"),
    _ours(lambda p: similarity(p) and sixteen_bits(p), "ours_torch:run", "tensors", "torch"),
    _ours(lambda p: p.kind in TRAINED, "ours_torch:run", "leaves", "torch"),
    _ours(lambda p: p.kind == "step", "training:ours_run", "tensors", "torch"),
]
OBVIOUS = [
    Contender(
        "gramless.reference",
        OURS,
        "ours:reference_run",
        lambda p: pair(p) and p.n <= 512 and p.kernel == "rbf",
        libraries=("gramless", "numpy"),
    ),
    Contender("numpy", "numpy", "numpy_code:run", lambda p: linear(p) or p.kind == "median"),
    _torch(
        "torch eager",
        "torch",
        "torch_code:run",
        lambda p: pair(p) or linear_sweep(p) or p.kind in ("median", "mutual_knn"),
        "tensors",
    ),
    _torch("torch eager", "torch", "torch_losses:run", lambda p: p.kind in TRAINED, "leaves"),
    _torch("torch eager", "torch", "training:torch_run", lambda p: p.kind == "step", "tensors"),
    _torch(
        "torch eager, centred Grams",
        "torch",
        "torch_code:centered_run",
        lambda p: pair(p) or p.kind == "sweep",
        "tensors",
    ),
    _torch("torch.compile, centred Grams", "torch", "torch_code:compiled_run", pair, "tensors"),
    _torch("torch.compile", "torch", "torch_losses:compiled_run", lambda p: p.kind in LOSSES, "leaves"),
]
SIMILARITIES = [
    _torch(
        "pytorch-cka", "cka", "peers:pytorch_cka_run", _linear_pair_or_sweep, "tensors", "cka", *STATISTICS
    ),
    _torch(
        "thingsvision",
        "thingsvision",
        "peers:thingsvision_run",
        lambda p: _given_rbf(p) or (linear(p) and p.kind == "pair"),
        "tensors",
        "thingsvision",
        *STATISTICS,
    ),
    _torch(
        "ckatorch",
        "ckatorch",
        "peers:ckatorch_run",
        lambda p: p.bandwidth == "kornblith" or _small_sweep(p),
        "tensors",
        "ckatorch",
        *STATISTICS,
    ),
    Contender(
        "repsim", "repsim", "peers:repsim_run", _small_sweep, libraries=("numpy", "repsim", *STATISTICS)
    ),
    Contender(
        "hyppo",
        "hyppo",
        "peers:hyppo_run",
        lambda p: p.kind == "pvalue",
        libraries=("numpy", "hyppo", "numba", "llvmlite", *STATISTICS),
    ),
    Contender(
        "scikit-learn",
        "sklearn",
        "peers:sklearn_run",
        lambda p: _given_rbf(p) or p.kind == "mmd",
        libraries=("numpy", "scipy", "sklearn"),
    ),
    Contender(
        "scipy",
        "scipy",
        "peers:scipy_run",
        lambda p: _given_rbf(p) or p.kind in ("median", "rsa"),
        libraries=("numpy", "scipy"),
    ),
    Contender(
        "dcor",
        "dcor",
        "peers:dcor_run",
        lambda p: pair(p) and p.kernel == "distance",
        libraries=("numpy", "scipy", "dcor", "numba", "llvmlite"),
    ),
    _torch("pykeops", "pykeops", "peers:keops_run", _given_rbf, "tensors", "pykeops", *STATISTICS),
]
LOSS_PACKAGES = [
    _torch("lightly", "lightly", "torch_losses:lightly_run", _nt_xent(8192), "leaves", "lightly"),
    _torch("infonce", "infonce", "torch_losses:infonce_run", _nt_xent(8192), "leaves", "infonce"),
    _torch(  # cubic memory
        "pytorch-metric-learning", "pytorch_metric_learning", "torch_losses:pml_run", _nt_xent(128), "leaves",
        "pytorch_metric_learning", *STATISTICS,
    ),
    Contender(  # n^2 D memory; its number of threads cannot be set by the environment
        "optax", "optax", "jax_losses:optax_run", _nt_xent(512), "arrays",
        ("numpy", "jax", "optax", *STATISTICS), compiles=True, threads=False,
    ),
    _torch(
        "info-nce-pytorch", "info_nce", "torch_losses:info_nce_pytorch_run", lambda p: p.kind == "info_nce",
        "leaves", "info_nce", *STATISTICS,
    ),
]  # fmt: skip
WHOLE_MODELS = [
    _models("gramless, minibatch", "gramless", "ours_minibatch_run", "gramless"),
    _models("gramless, exact, means over space", "gramless", "ours_exact_run", "gramless"),
    _models("forward passes alone", "efficientnet_lite_pytorch", "forward_run"),
    _models("forward passes alone, channels last", "efficientnet_lite_pytorch", "channels_last_run"),
    _models("pytorch-cka", "cka", "pytorch_cka_run", "cka", *STATISTICS),
    _models("torch-cka", "torch_cka", "torch_cka_run", "torch_cka", *STATISTICS),
]
CONTENDERS = [*OURS_CONTENDERS, *OBVIOUS, *SIMILARITIES, *LOSS_PACKAGES, *WHOLE_MODELS]
LIBRARIES = sorted({library for contender in CONTENDERS for library in contender.libraries} - {"numpy"})


def taking(problem: Problem) -> list[Contender]:
    """All contenders of a problem; some may not be installed."""
    return [contender for contender in CONTENDERS if contender.wanted(problem)]


def truths(problem: Problem) -> tuple[Contender, Contender]:
    """The contenders whose answers are the true values: at small sizes, and at every size."""
    ours = next((contender for contender in OURS_CONTENDERS if contender.can(problem)), None)
    if problem.kind == "step":
        codes = ("training:torch_run",) * 2
    elif problem.kind == "models":
        codes = ("whole_models:in_float64",) * 2
    else:
        assert ours is not None
        module = ours.code.split(":")[0]
        codes = (f"{module}:reference_run", f"{module}:in_float64")
    inputs = ours.inputs if ours else "tensors"
    small, large = (Contender(f"truth, {code}", OURS, code, lambda p: True, inputs) for code in codes)
    return small, large

"""Every function that a GPU computes, its plain code, and its kernels of compute capability 9.0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gramless as gl
import torch
from torch import Tensor

from . import plain
from .plain import LEFT_OUT, TEACHER, TEMPERATURE, Low

SIXTEEN_BITS = (torch.float16, torch.bfloat16)
LIMIT = 0.3  # negatives with a larger dot product are left out


@dataclass(frozen=True)
class Case:
    """ours(*inputs) and plain(*inputs, low); `looser`: the factor of the allowed error."""

    name: str
    arrays: int
    ours: Callable[..., Any]
    plain: Callable[..., Tensor]
    trained: tuple[int, ...] = (0, 1)  # inputs that get a gradient
    hopper: str = ""  # "loss" or "tiles": which kernels of compute capability 9.0
    looser: float = 1

    def hopper_kernels(self, dtype: torch.dtype, width: int) -> list[str]:
        """The kernels of compute capability 9.0 that must run when they are chosen."""
        if self.hopper == "tiles" and dtype != torch.float64:
            return ["sum_tiles_hopper"]
        if self.hopper == "loss" and dtype in SIXTEEN_BITS and 64 < width <= 128:
            return ["sum_softmax_hopper", *(["grad_of_rows_hopper"] if self.trained else [])]
        return []


def _labels(z: Tensor) -> Tensor:
    """Labels of groups of three rows, and of one single row."""
    return torch.arange(len(z), device=z.device).add(2).div(3, rounding_mode="floor")


def _mask(z: Tensor) -> Tensor:
    return _labels(z)[:, None] == _labels(z)


def _sigma(x: Tensor) -> float:
    return (2.0 * x.shape[1]) ** 0.5


def _pair(kernel: str, estimator: str = "unbiased", trained: tuple[int, ...] = (0, 1)) -> Case:
    functions = {"linear": lambda s: gl.Linear(), "rbf": lambda s: gl.RBF(sigma=s)}
    functions["laplace"] = lambda s: gl.Laplace(sigma=s)
    return Case(
        f"cka {kernel} {estimator}",
        2,
        lambda x, y: gl.cka(x, y, kernel=functions[kernel](_sigma(x)), estimator=estimator),
        lambda x, y, low: plain.cka(x, y, low, kernel, _sigma(x), estimator),
        trained,
        "" if kernel == "laplace" else "tiles",
    )


def _uni_cl(x: Tensor, y: Tensor, labels: Tensor, low: Low) -> Tensor:
    s = plain.unit(x, low) @ plain.unit(y, low).T / TEMPERATURE
    same = (labels[:, None] == labels).to(s.dtype)
    return (
        (s.logsumexp(1) + s.logsumexp(0)) / 2
        - (s * same).sum(1) / same.sum(1) / 2
        - (s * same).sum(0) / same.sum(0) / 2
    ).mean()


def _losses() -> list[Case]:
    t = TEMPERATURE
    return [
        Case("nt_xent", 2, lambda x, y: gl.nt_xent(x, y, temperature=t), plain.nt_xent, hopper="loss"),
        Case("dcl", 2, lambda x, y: gl.dcl(x, y, temperature=t), plain.dcl, hopper="loss"),
        Case(
            "sup_con", 1, lambda z: gl.sup_con(z, _labels(z), temperature=t),
            lambda z, low: plain.sup_con(z, _labels(z), low), (0,), "loss",
        ),
        Case(
            "info_nce with a queue", 3, lambda x, y, q: gl.info_nce(x, y, q, temperature=t),
            plain.info_nce,
        ),
        Case(
            "info_nce symmetric", 2, lambda x, y: gl.info_nce(x, y, symmetric=True, temperature=t),
            plain.clip,
        ),
        Case(
            "uni_cl", 2, lambda x, y: gl.uni_cl(x, y, _labels(x), temperature=t),
            lambda x, y, low: _uni_cl(x, y, _labels(x), low),
        ),
        Case("moco", 3, lambda q, k, queue: gl.moco(q, k, queue, temperature=t), plain.moco),
        Case(
            "row_log_sum_exp", 2,
            lambda x, y: gl.row_log_sum_exp(x, y, temperature=t, normalize=True).sum(), plain.log_sum_exp,
        ),
        Case(
            "similarity_distillation", 3,
            lambda s, teacher, q: gl.similarity_distillation(
                s, teacher, q, temperature=t, teacher_temperature=TEACHER
            ),
            plain.distillation, (0,),
        ),
        Case(  # if rounding moves a pair over the limit, only one of the answers includes it
            "nt_xent exclude_above", 2,
            lambda x, y: gl.nt_xent(x, y, temperature=t, exclude_above=LIMIT),
            lambda x, y, low: plain.nt_xent_below(x, y, low, LIMIT), looser=200,
        ),
        Case(
            "nt_xent exclude_hardest", 2,
            lambda x, y: gl.nt_xent(x, y, temperature=t, exclude_hardest=LEFT_OUT),
            plain.nt_xent_without_hardest, looser=200,
        ),
    ]  # fmt: skip


def _matrix(function: Callable[..., Any]) -> Callable[..., Tensor]:
    return lambda *xs: function(list(xs), kernel=gl.RBF(sigma=_sigma(xs[0]))).flatten()


def _weighted(values: Tensor) -> Tensor:
    return (values * torch.arange(1, len(values) + 1, device=values.device)).sum()


def _layer_matrix(*xs: Tensor) -> Tensor:
    found = gl.layer_matrix(list(xs), kernel=gl.RBF(sigma=_sigma(xs[0])), pvalue=None)
    return torch.from_numpy(found.matrix.flatten())


def _on_cpu(function: Callable[..., Any]) -> Callable[..., Tensor]:
    """The function on the CPU in float64, whose result is the true value."""

    def of(*arguments: Any) -> Tensor:
        *xs, _ = arguments
        return torch.as_tensor(function(*(x.detach().cpu().double().numpy() for x in xs))).double()

    return of


def _minibatch(x: Any, y: Any) -> Any:
    metric = gl.MinibatchCKA(kernel="linear")
    half = len(x) // 2
    for rows in (slice(0, half), slice(half, 2 * half)):
        metric.update([x[rows]], [y[rows]])
    return metric.compute()[0][0]


def _independence(x: Any, y: Any) -> float:
    kernel = gl.RBF(sigma=(2.0 * x.shape[1]) ** 0.5)
    return float(gl.independence_test(x, y, kernel=kernel, method="chi2").statistic)


def _two_sample_statistic(x: Tensor, y: Tensor) -> Tensor:
    kernel = gl.RBF(sigma=_sigma(x))
    found = gl.two_sample_test(x, 2 * y, kernel=kernel, n_resamples=1, rng=0)
    return torch.tensor(found.statistic, dtype=torch.float64)


def _mmd(x: Tensor, y: Tensor, low: Low) -> Tensor:
    return plain.mmd(x, 2 * y, low, "rbf", _sigma(x))


def cases() -> list[Case]:
    """All cases, the most important first, because the time may end before all have run."""
    rbf = _pair("rbf")

    def of_layers(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda *given: function(given[:-1], given[-1], "rbf", _sigma(given[0]))

    losses = _losses()
    return [
        losses[0],
        rbf,
        _pair("linear"),
        *losses[1:],
        _pair("rbf", "biased"),
        _pair("laplace", trained=()),
        Case(
            "hsic rbf", 2, lambda x, y: gl.hsic(x, y, kernel=gl.RBF(sigma=_sigma(x))),
            lambda x, y, low: plain.unbiased(*(plain.gram(m, low, "rbf", _sigma(x)) for m in (x, y))),
            hopper="tiles",
        ),
        Case("cka_matrix", 3, _matrix(gl.cka_matrix), of_layers(plain.cka_matrix), ()),
        Case("cka_matrix, weighted sum", 3, lambda *xs: _weighted(_matrix(gl.cka_matrix)(*xs)),
             lambda *given: _weighted(of_layers(plain.cka_matrix)(*given)), (0, 1, 2)),
        Case("median_distance", 1, gl.median_distance, plain.median_distance, ()),
        Case("MinibatchCKA", 2, _minibatch, _on_cpu(_minibatch), ()),
        Case("independence_test", 2, _independence, _on_cpu(_independence), (), looser=10),
        Case("sup_con of a mask", 1, lambda z: gl.sup_con(z, mask=_mask(z), temperature=TEMPERATURE),
             lambda z, low: plain.sup_con(z, _labels(z), low), (0,)),
        Case("sup_con ignore_index", 1,
             lambda z: gl.sup_con(z, _labels(z), ignore_index=1, temperature=TEMPERATURE),
             lambda z, low: plain.sup_con(z[_labels(z) != 1], _labels(z)[_labels(z) != 1], low), (0,)),
        Case("mmd", 2, lambda x, y: gl.mmd(x, 2 * y, kernel=gl.RBF(sigma=_sigma(x))), _mmd),
        Case("two_sample_test", 2, _two_sample_statistic, _mmd, ()),
        Case("hsic_matrix", 3, _matrix(gl.hsic_matrix), of_layers(plain.hsic_matrix), ()),
        Case("layer_matrix", 3, _layer_matrix, of_layers(plain.cka_matrix), ()),
    ]  # fmt: skip


def low_of(dtype: torch.dtype) -> Low:
    """The rounding that a library in this dtype applies to rows before it multiplies them."""
    return lambda x: x.to(dtype).to(x.dtype)

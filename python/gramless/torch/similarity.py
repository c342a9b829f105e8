"""HSIC and CKA of tensors, differentiable by autograd, and as losses. No n x n memory in either direction."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from .._alignment import NO_HSIC, aligned
from .._arrays import as_layers
from ..kernels import Estimator, KernelLike, as_estimator, as_kernel, encode
from ._check import check_array, check_rows
from ._derivatives import refuse_forward_mode
from ._eager import has_jvp, is_differentiated, is_plain, seen_anew
from ._framework import on_device
from ._hsic import ForwardModeHsic, HsicFunction, hsic_forward, in_units, operands
from ._options import compute_dtype

Values = tuple[Tensor, Tensor, Tensor]  # (Lx, Ly), (Lx,), (Ly,), float64


def is_followed(*arrays: Any) -> bool:
    """Whether a tensor among these is on a GPU, or to be differentiated, traced or transformed."""
    tensors = [x for x in arrays if isinstance(x, Tensor)]
    if not tensors:
        return False
    if not is_plain(tensors) or any(on_device(x) for x in tensors):
        return True
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors)


def _values(
    function: str,
    named_x: dict[str, Any],
    named_y: dict[str, Any],
    kernel: KernelLike,
    kernel_y: KernelLike | None,
    estimator: Estimator,
    own_units: bool = True,
) -> tuple[Values, torch.dtype]:
    code_x = encode(as_kernel(kernel, function))
    code_y = code_x if kernel_y is None else encode(as_kernel(kernel_y, function, "kernel_y"))
    estimator = as_estimator(estimator, function)
    xs, ys = ([check_array(function, name, x) for name, x in named.items()] for named in (named_x, named_y))
    xs, ys = [seen_anew(x) for x in xs], [seen_anew(y) for y in ys]
    names, layers = [*named_x, *named_y], [*xs, *ys]
    for name, layer in zip(names, layers, strict=True):
        check_rows(function, names[0], layers[0], name, layer)
    needed = 4 if estimator == "unbiased" else 2
    if layers[0].shape[0] < needed:
        raise ValueError(
            f"{function}: the {estimator} estimator needs at least {needed} rows "
            f"but {names[0]} has {layers[0].shape[0]}"
        )
    numbers, constants = operands(function, code_x, code_y, estimator)
    refuse_forward_mode(function, layers)
    if is_differentiated(layers):
        differentiable = ForwardModeHsic if has_jvp() else HsicFunction
        xy, xx, yy, saved = differentiable.apply(len(xs), constants, numbers, *layers)
    else:
        xy, xx, yy, saved = hsic_forward(xs, ys, numbers, *constants)
    if not own_units:
        xy = in_units(xy, saved)
    return (xy, xx, yy if ys else xx), compute_dtype(layers)


def _cka(values: Values, undefined: float = torch.nan) -> Tensor:
    return cast(Tensor, aligned(*values, undefined, torch.where))


def _warn(function: str, values: Values, names_x: Sequence[str], names_y: Sequence[str]) -> None:
    if on_device(values[0]) or not is_plain([value.detach() for value in values]):
        return  # the device is not waited for
    named = [*zip(names_x, values[1].tolist(), strict=True)]
    named += [*zip(names_y, values[2].tolist(), strict=True)] if names_y else []
    degenerate = [name for name, value in named if value <= 0]
    if degenerate:
        warnings.warn(
            f"{function}: not defined for {', '.join(degenerate)}, whose HSIC with itself is not positive: "
            f"{NO_HSIC}",
            RuntimeWarning,
            stacklevel=4,
        )


def hsic(
    x: Any,
    y: Any,
    kernel: KernelLike,
    kernel_y: KernelLike | None,
    estimator: Estimator,
    function: str = "hsic",
) -> Tensor:
    """`gramless.hsic` of tensors."""
    (xy, _, _), dtype = _values(function, {"x": x}, {"y": y}, kernel, kernel_y, estimator, own_units=False)
    return xy[0, 0].to(dtype)


def cka(x: Any, y: Any, kernel: KernelLike, kernel_y: KernelLike | None, estimator: Estimator) -> Tensor:
    """`gramless.cka` of tensors."""
    values, dtype = _values("cka", {"x": x}, {"y": y}, kernel, kernel_y, estimator)
    _warn("cka", values, ["x"], ["y"])
    return _cka(values)[0, 0].to(dtype)


def _named(function: str, name: str, layers: Any) -> dict[str, Any]:
    return {f"{name}[{i}]": layer for i, layer in enumerate(as_layers(function, name, layers))}


def hsic_matrix(xs: Any, ys: Any, kernel: KernelLike, estimator: Estimator) -> Tensor:
    """`gramless.hsic_matrix` of tensors."""
    named = _named("hsic_matrix", "xs", xs), {} if ys is None else _named("hsic_matrix", "ys", ys)
    (xy, _, _), dtype = _values("hsic_matrix", *named, kernel, None, estimator, own_units=False)
    return xy.to(dtype)


def cka_matrix(xs: Any, ys: Any, kernel: KernelLike, estimator: Estimator) -> Tensor:
    """`gramless.cka_matrix` of tensors."""
    named = _named("cka_matrix", "xs", xs), {} if ys is None else _named("cka_matrix", "ys", ys)
    values, dtype = _values("cka_matrix", *named, kernel, None, estimator)
    _warn("cka_matrix", values, list(named[0]), list(named[1]))
    return _cka(values).to(dtype)


class CKALoss(nn.Module):
    """1 - `gramless.cka`: what makes the representations x (n, p) and y (n, q) of a batch alike.

    loss = 1 - hsic(K, L) / sqrt(hsic(K, K) hsic(L, L)) (Kornblith et al. 2019, arXiv:1905.00414).

    kernel, kernel_y, estimator as in `gramless.cka`. A bandwidth that is a median distance is found anew for
    every batch and is a constant for the gradient. Where a representation's HSIC with itself is not positive,
    as that of a constant one, the loss is 1 and the gradient 0.

    Raises ValueError where shapes or options do not fit and TypeError where types do not.

    >>> x = torch.arange(12.0).reshape(6, 2).sin()
    >>> round(CKALoss()(x, 3 * x + 1).item(), 6)
    0.0
    >>> CKALoss(kernel="rbf")(x, torch.ones(6, 3)).item()
    1.0
    """

    def __init__(
        self,
        kernel: KernelLike = "linear",
        kernel_y: KernelLike | None = None,
        estimator: Estimator = "unbiased",
    ) -> None:
        super().__init__()
        self.kernel = as_kernel(kernel, "CKALoss")
        self.kernel_y = None if kernel_y is None else as_kernel(kernel_y, "CKALoss", "kernel_y")
        self.estimator: Estimator = as_estimator(estimator, "CKALoss")

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        arguments = self.kernel, self.kernel_y, self.estimator
        values, dtype = _values("CKALoss", {"x": x}, {"y": y}, *arguments)
        return (1 - _cka(values, 0.0)[0, 0]).to(dtype)


class HSICLoss(nn.Module):
    """`gramless.hsic`: what makes the representations x (n, p) and y (n, q) of a batch independent.

    The Hilbert-Schmidt independence criterion (Gretton et al. 2005; unbiased: Song et al. 2012); its negative
    makes them dependent. Arguments and errors as in `CKALoss`.

    >>> x = torch.arange(12.0).reshape(6, 2).sin()
    >>> HSICLoss("rbf")(x, x.flip(1)).shape
    torch.Size([])
    """

    def __init__(
        self,
        kernel: KernelLike = "linear",
        kernel_y: KernelLike | None = None,
        estimator: Estimator = "unbiased",
    ) -> None:
        super().__init__()
        self.kernel = as_kernel(kernel, "HSICLoss")
        self.kernel_y = None if kernel_y is None else as_kernel(kernel_y, "HSICLoss", "kernel_y")
        self.estimator: Estimator = as_estimator(estimator, "HSICLoss")

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return hsic(x, y, self.kernel, self.kernel_y, self.estimator, "HSICLoss")

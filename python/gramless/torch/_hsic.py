"""HSIC of layers as operators of torch, gramless::hsic_forward and hsic_backward, and their derivative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import _core
from ..kernels import Encoded, wants_median, with_sigma
from . import _device
from ._derivatives import final_gradients, refuse_tangents
from ._framework import on_device
from ._operators import library
from ._options import compute_dtype, number
from ._problem import described
from ._vmap import one_by_one

# A kernel as `kernels.encode` has it, but for sigma and scale, which are in `numbers`: see `operands`.
_KERNEL = "str formula_{0}, bool has_sigma_{0}, bool include_diagonal_{0}, int? median_rows_{0}"
_ARRAYS = (
    "Tensor[] xs, Tensor[] ys, Tensor numbers, str function, "
    f"{_KERNEL.format('x')}, {_KERNEL.format('y')}, str estimator"
)
library.define(f"hsic_forward({_ARRAYS}) -> (Tensor xy, Tensor xx, Tensor yy, Tensor saved)")
library.define(
    f"hsic_backward({_ARRAYS}, Tensor saved, Tensor grad_xy, Tensor grad_xx, Tensor grad_yy, bool[] wanted)"
    " -> Tensor[]"
)
hsic_forward = torch.ops.gramless.hsic_forward.default
hsic_backward = torch.ops.gramless.hsic_backward.default
_HEAD = _device.HEAD  # before a layer's row sums in `saved`: its bandwidth, whether there are any, exponent


class _Options(NamedTuple):
    """What an operator takes after its arrays, up to the estimator."""

    function: str
    kernels: tuple[Encoded, Encoded]
    estimator: str

    @classmethod
    def of(cls, numbers: Tensor, function: str, *flat: Any) -> _Options:
        """What `operands` was given."""
        sigma_x, scale_x, sigma_y, scale_y = numbers.tolist()
        kernels = _kernel(sigma_x, scale_x, *flat[:4]), _kernel(sigma_y, scale_y, *flat[4:8])
        return cls(function, kernels, flat[8])


def operands(
    function: str, kernel_x: Encoded, kernel_y: Encoded, estimator: str
) -> tuple[Tensor, tuple[Any, ...]]:
    """What an operator takes after its arrays: the numbers, which may vary between calls of a compiled
    function, and the constants of its graph.
    """
    numbers: list[Tensor] = []
    constants: list[Any] = [function]
    for formula, sigma, scale, include_diagonal, median_rows in (kernel_x, kernel_y):
        numbers += [number(1.0 if sigma is None else sigma), number(scale)]
        constants += [formula, sigma is not None, include_diagonal, median_rows]
    return torch.stack(numbers), (*constants, estimator)


def _kernel(
    sigma: float, scale: float, formula: str, has_sigma: bool, include_diagonal: bool, median_rows: int | None
) -> Encoded:
    return (formula, sigma if has_sigma else None, scale, include_diagonal, median_rows)


def _layers(xs: Sequence[Tensor], ys: Sequence[Tensor]) -> tuple[list[Any], list[Any]]:
    x, y = ([described(layer.resolve_neg()) for layer in layers] for layers in (xs, ys))
    return x, y


def _of_layers(options: _Options, xs: Sequence[Any], ys: Sequence[Any]) -> list[Encoded]:
    of_x, of_y = options.kernels
    return [of_x] * len(xs) + [of_y] * len(ys)


def _forward(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    *flat: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    options = _Options.of(*flat)
    if on_device(xs[0]):
        return _device.hsic_forward(xs, ys, *options)
    estimator = options.estimator
    x, y = _layers(xs, ys)
    codes = _of_layers(options, x, y)
    pair = len(x) == len(y) == 1
    names = (
        ["x", "y"] if pair else [f"{s}s[{i}]" for s, side in (("x", x), ("y", y)) for i in range(len(side))]
    )
    sigmas = [
        _core.bandwidth(layer, code, name=name) if wants_median(code) else code[1] or 0.0
        for layer, code, name in zip(x + y, codes, names, strict=True)
    ]
    kernels = [with_sigma(code, sigma) for code, sigma in zip(codes, sigmas, strict=True)]
    xy, xx, yy, sums, exponents = _core.hsic_forward(x, y, kernels[: len(x)], kernels[len(x) :], estimator)
    saved = np.zeros((len(sigmas), _HEAD + xs[0].shape[0]))
    saved[:, 0], saved[:, 2] = sigmas, exponents
    if sums.size:
        saved[:, 1], saved[:, _HEAD:] = 1, sums.reshape(len(sigmas), -1)
    return torch.from_numpy(xy), torch.from_numpy(xx), torch.from_numpy(yy), torch.from_numpy(saved)


def _backward(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    *flat: Any,
) -> list[Tensor]:
    *flat_options, saved, grad_xy, grad_xx, grad_yy, wanted = flat
    options = _Options.of(*flat_options)
    if on_device(xs[0]):
        return _device.hsic_backward(xs, ys, *options, saved, (grad_xy, grad_xx, grad_yy), wanted)
    estimator = options.estimator
    x, y = _layers(xs, ys)
    layers, codes = [*xs, *ys], _of_layers(options, x, y)
    kernels = [with_sigma(code, s) for code, s in zip(codes, saved[:, 0].tolist(), strict=True)]
    sums = saved[:, _HEAD:].numpy() if saved[0, 1] else np.empty(0)
    dtype = compute_dtype(layers)
    grads = [
        torch.empty(layer.shape, dtype=dtype) if want else None
        for layer, want in zip(layers, wanted, strict=True)
    ]
    targets = [None if g is None else described(g) for g in grads]
    arguments: tuple[Any, ...] = (
        *(x, y, kernels[: len(x)], kernels[len(x) :], estimator),
        np.ascontiguousarray(sums).reshape(-1),
        *(np.ascontiguousarray(g.numpy()).reshape(-1) for g in (grad_xy, grad_xx, grad_yy)),
        targets,
    )
    _core.hsic_backward(*arguments)
    return [g.to(layer.dtype) for g, layer in zip(grads, layers, strict=True) if g is not None]


def _fake_forward(xs: Sequence[Tensor], ys: Sequence[Tensor], *_: Any) -> tuple[Tensor, ...]:
    first, height, width = xs[0], len(xs), len(ys) or len(xs)
    shapes = (height, width), (height,), (len(ys),), (height + len(ys), _HEAD + first.shape[0])
    return tuple(first.new_empty(shape, dtype=torch.float64) for shape in shapes)


def _fake_backward(xs: Sequence[Tensor], ys: Sequence[Tensor], *more: Any) -> list[Tensor]:
    return [x.new_empty(x.shape) for x, want in zip([*xs, *ys], more[-1], strict=True) if want]


for _key in ("CPU", "CUDA"):
    library.impl("hsic_forward", _forward, _key)
    library.impl("hsic_backward", _backward, _key)
torch.library.register_fake("gramless::hsic_forward", _fake_forward, lib=library)
torch.library.register_fake("gramless::hsic_backward", _fake_backward, lib=library)
torch.library.register_vmap("gramless::hsic_forward", one_by_one(hsic_forward), lib=library)
torch.library.register_vmap("gramless::hsic_backward", one_by_one(hsic_backward), lib=library)


def in_units(xy: Tensor, saved: Tensor) -> Tensor:
    """HSIC of layers in units of their own, as an operator returns it, as that of the data: (Lx, Ly)."""
    height, width = xy.shape
    roots = torch.exp2(saved[:, 2] / 2)  # exponents are even, and powers of two beyond float64
    x, y = roots[:height, None], roots[None, -width:]
    return xy * x * y * x * y


class HsicFunction(torch.autograd.Function):
    """(split, constants, numbers, *xs, *ys) -> (xy, xx, yy, saved); constants and numbers: see `operands`."""

    @staticmethod
    def forward(split: int, constants: Any, numbers: Tensor, *layers: Tensor) -> tuple[Tensor, ...]:
        values: tuple[Tensor, ...] = hsic_forward(layers[:split], layers[split:], numbers, *constants)
        return values

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        split, constants, numbers, *layers = inputs
        ctx.mark_non_differentiable(output[3])
        ctx.save_for_backward(output[3], numbers, *layers)
        ctx.split, ctx.constants = split, constants

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        wanted = tuple(ctx.needs_input_grad[3:])
        arguments = (ctx.split, ctx.constants, wanted, *grads[:3], *ctx.saved_tensors)
        found = iter(final_gradients(_gradients, ctx.constants[0], *arguments))
        return (None, None, None, *(next(found) if want else None for want in wanted))

    vmap = staticmethod(one_by_one(lambda *arguments: HsicFunction.apply(*arguments)))


class ForwardModeHsic(HsicFunction):
    """The same where forward mode is on; torch.compile refuses a Function that has a jvp."""

    @staticmethod
    def jvp(ctx: Any, *_: Any) -> Any:
        return refuse_tangents(ctx.constants[0])

    vmap = staticmethod(one_by_one(lambda *arguments: ForwardModeHsic.apply(*arguments)))


def _gradients(
    split: int,
    constants: Any,
    wanted: Sequence[bool],
    grad_xy: Tensor,
    grad_xx: Tensor,
    grad_yy: Tensor,
    saved: Tensor,
    numbers: Tensor,
    *layers: Tensor,
) -> tuple[Tensor, ...]:
    arrays = layers[:split], layers[split:]
    return tuple(hsic_backward(*arrays, numbers, *constants, saved, grad_xy, grad_xx, grad_yy, wanted))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    xs, ys, numbers, *constants = inputs
    ctx.split, ctx.constants = len(xs), tuple(constants)
    ctx.save_for_backward(output[3], numbers, *xs, *ys)


def _differentiate(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
    saved, numbers, *layers = ctx.saved_tensors
    wanted = [x.is_floating_point() for x in layers]
    arguments = (ctx.split, ctx.constants, wanted, *grads[:3], saved, numbers, *layers)
    found = iter(final_gradients(_gradients, ctx.constants[0], *arguments))
    of_layers = [next(found) if want else None for want in wanted]
    return (of_layers[: ctx.split], of_layers[ctx.split :], None, *(None for _ in ctx.constants))


# Where torch.compile forgets the Function: see `_contrast`.
torch.library.register_autograd("gramless::hsic_forward", _differentiate, setup_context=_keep, lib=library)

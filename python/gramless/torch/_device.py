"""The operators of torch on a GPU: what `Problem` and the operators of HSIC are on a CPU.

Nothing waits for it, but labels of the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .._device.distillation import DistillLaunch
from .._device.hsic import layer_values
from .._device.launch import ContrastLaunch, HsicLaunch, Place
from .._device.losses import DeviceContrast, groups_of, queue_groups
from .._device.status import cuda_module
from .._losses import as_temperature
from ..kernels import Encoded
from ._framework import TorchFramework, on_device
from ._options import Arguments

HEAD = 3  # what stands before a layer's row sums in `saved`, as on the CPU


def place(function: str, x: Tensor) -> Place:
    """Where x is."""
    framework = TorchFramework()
    return Place(function, framework, framework.device(x), cuda_module(function))


def unread(temperature: Tensor, x: Tensor) -> Tensor:
    """A device's temperature as float64 (1,) of x's device, which nobody waits for."""
    return temperature.detach().resolve_neg().to(x.device, torch.float64).reshape(1)


def temperature_of(arguments: Arguments) -> float | Tensor:
    """A number, or what a device will read."""
    learned = arguments.learned_temperature
    if learned is None or not on_device(learned):
        return arguments.temperature()
    return unread(learned, arguments.anchors[0])


class DeviceProblem:
    """The arguments of an operator of contrastive losses as those of a launch."""

    def __init__(self, arguments: Arguments) -> None:
        *sides, labels, _, options = arguments
        self.options = options
        anchors, keys = ([x.resolve_neg() for x in side] for side in sides)
        temperature = temperature_of(arguments)
        where, groups, counted = place(options.function, anchors[0]), None, None
        if labels is not None:
            groups, counted = groups_of(where, labels, sum(x.shape[0] for x in anchors))
        of_keys = None
        if keys and options.kind != "log_sum_exp":
            of_keys = queue_groups(where, keys[0].shape[0], sum(x.shape[0] for x in keys[1:]))
        chosen = temperature, options.normalize, options.exclude_above, options.kind, options.symmetric
        launch = ContrastLaunch(
            where, anchors, keys, groups, of_keys, *chosen, exclude_hardest=options.exclude_hardest
        )
        self.contrast = DeviceContrast(launch, counted)

    def forward(self) -> tuple[Tensor, Tensor]:
        """The loss, and what `backward` needs beside the arrays."""
        losses, saved, mean = self.contrast.launch.forward()
        return self.contrast.reduced(losses, mean, self.options.reduction), saved  # type: ignore[arg-type]

    def backward(
        self, grad: Tensor, saved: Tensor, wanted: Sequence[bool]
    ) -> tuple[list[Tensor | None], Tensor]:
        """Gradients by the arrays that are wanted, each in its array's dtype, and by the temperature."""
        contrast, reduction, grad = self.contrast, self.options.reduction, grad.double()
        wanted = wanted[: len(contrast.launch.anchors) + len(contrast.launch.keys)]
        if reduction == "mean" and contrast.all_alike:
            return contrast.launch.backward(saved, wanted, scale_of_mean=grad.reshape(1))
        if reduction == "none":
            weights = contrast.weights("none", grad)
        else:
            weights = contrast.weights(reduction) * grad  # type: ignore[arg-type]
        return contrast.launch.backward(saved, wanted, weights)


class DeviceDistillation:
    """Similarity distillation as an operator sees it: all but the student and the temperature is constant."""

    def __init__(self, arguments: Arguments) -> None:
        self.options = options = arguments.options
        self.arrays = [x.resolve_neg() for x in (*arguments.anchors, *arguments.keys)]
        sharp = as_temperature(options.function, options.teacher_temperature, "teacher_temperature")
        where, temperature = place(options.function, self.arrays[0]), temperature_of(arguments)
        self.launch = DistillLaunch(where, self.arrays, temperature, sharp, options.normalize)

    def forward(self) -> tuple[Tensor, Tensor]:
        """The loss, and what `backward` needs beside the arrays."""
        losses, saved, mean = self.launch.forward()
        return self.launch.reduced(losses, mean, self.options.reduction), saved  # type: ignore[arg-type]

    def backward(
        self, grad: Tensor, saved: Tensor, wanted: Sequence[bool]
    ) -> tuple[list[Tensor | None], Tensor]:
        """Gradients by the arrays that are wanted, each in its array's dtype, and by the temperature."""
        grad, launch = grad.double(), self.launch
        if self.options.reduction == "mean":
            found, by_temperature = launch.backward(saved, scale_of_mean=grad.reshape(1))
        else:
            weights = grad.expand(launch.rows).contiguous()
            found, by_temperature = launch.backward(saved, weights)
        constants = [
            torch.zeros_like(x) if want else None for x, want in zip(self.arrays, wanted, strict=False)
        ]
        return [found if wanted[0] else None, *constants[1:]], by_temperature


def _hsic_launch(function: str, x: Tensor, estimator: str) -> HsicLaunch:
    allow_tf32 = torch.backends.cuda.matmul.allow_tf32
    return HsicLaunch(place(function, x), estimator == "unbiased", allow_tf32)


def hsic_forward(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    function: str,
    kernels: tuple[Encoded, Encoded],
    estimator: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(xs, ys), (xs,), (ys,), and for each layer what the backward needs, (layers, HEAD + n), all float64."""
    xs, ys = ([x.resolve_neg() for x in side] for side in (xs, ys))
    launch = _hsic_launch(function, xs[0], estimator)
    layers, n = len(xs) + len(ys), xs[0].shape[0]
    row_sums, bandwidths = launch.place.empty(layers, n), launch.place.empty(layers)
    values = layer_values(launch, xs, ys, kernels, row_sums, bandwidths)
    saved = launch.place.zeros(layers, HEAD + n)
    saved[:, 1], saved[:, HEAD:] = bandwidths, row_sums
    xy, xx, yy = (x.clone() for x in values)  # the outputs of an operator share no memory
    return xy, xx, yy[: len(ys)], saved


def _pair_weights(
    alone: bool, i: int, j: int, grad_xy: Tensor, grad_xx: Tensor, grad_yy: Tensor
) -> Tensor:  # (3,)
    """The derivative by what the launch of one pair returned; a layer's own value is in one pair only."""
    zero = grad_xy.new_zeros(())
    if alone:
        own = grad_xy[i, i] + grad_xx[i] if i == j else zero
        return torch.stack([zero if i == j else grad_xy[i, j] + grad_xy[j, i], own, zero])
    return torch.stack([grad_xy[i, j], grad_xx[i] if j == 0 else zero, grad_yy[j] if i == 0 else zero])


def hsic_backward(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    function: str,
    kernels: tuple[Encoded, Encoded],
    estimator: str,
    saved: Tensor,
    grads: tuple[Tensor, Tensor, Tensor],
    wanted: Sequence[bool],
) -> list[Tensor]:
    """Gradients by the layers that are wanted, each in its layer's dtype."""
    layers = [x.resolve_neg() for x in (*xs, *ys)]
    launch, alone = _hsic_launch(function, layers[0], estimator), not ys
    totals: list[Tensor | None] = [None] * len(layers)
    for i in range(len(xs)):
        for j in range(i, len(xs)) if alone else range(len(ys)):
            sides = i, j if alone else len(xs) + j
            asked = [wanted[sides[0]], wanted[sides[1]] and not (alone and i == j)]
            if not any(asked):
                continue
            kept = saved[list(sides)]
            row_sums, bandwidths = kept[:, HEAD:].contiguous(), kept[:, 1].contiguous()
            arguments = row_sums, bandwidths, _pair_weights(alone, i, j, *grads)
            x, y = (layers[side] for side in sides)
            found = launch.pair_grad(x, y, *kernels, *arguments, asked)
            for side, grad in zip(sides, found, strict=True):
                totals[side] = _added(totals[side], grad)
    return [total.to(x.dtype) for total, x in zip(totals, layers, strict=True) if total is not None]


def _added(total: Tensor | None, grad: Tensor | None) -> Tensor | None:
    """Their sum, in float32 at least."""
    if total is None or grad is None:
        return grad if total is None else total
    return total.to(torch.promote_types(total.dtype, torch.float32)) + grad

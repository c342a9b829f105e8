"""The operators of torch on a GPU: what `Problem` is on a CPU.

Nothing waits for it, but labels of the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .._arrays.cuda_status import cuda_module
from .._backends.launch import ContrastLaunch, DeviceContext
from .._device.losses import DeviceContrast, groups_of, queue_groups
from ._framework import TorchFramework, on_device
from ._options import Arguments


def place(function: str, x: Tensor) -> DeviceContext:
    """Where x is."""
    framework = TorchFramework()
    return DeviceContext(function, framework, framework.device(x), cuda_module(function))


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

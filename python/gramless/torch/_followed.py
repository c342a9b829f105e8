"""Detects whether autograd, transforms or dispatch modes of torch record operations on tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from ._derivatives import in_forward_mode

# These functions are private to torch. If they are missing, no tensor counts as plain.
_transforms = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)
_modes = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 1)
is_wrapped = getattr(torch._C._functorch, "is_functorch_wrapped_tensor", lambda x: True)  # in torch.func
PLAIN = frozenset([Tensor, torch.nn.Parameter, float])


def is_plain(inputs: Sequence[Any]) -> bool:
    """Whether the tensors among the inputs have data, and only autograd records operations on them."""
    followed = torch.compiler.is_compiling() or _transforms() or _modes() > 0 or in_forward_mode()
    return not followed and PLAIN.issuperset(map(type, inputs))


def needs_autograd(inputs: Sequence[Any]) -> bool:
    """Whether autograd must record computations on these inputs."""
    if torch.is_grad_enabled():
        for x in inputs:
            if isinstance(x, Tensor) and x.requires_grad:
                return True
    return False


def check_fakes(function: str, inputs: Sequence[Any]) -> None:
    """Raise TypeError for FakeTensors outside their mode, or mixed with tensors that the mode refuses."""
    tensors = [x for x in inputs if isinstance(x, Tensor)]
    fakes = [x for x in tensors if isinstance(x, FakeTensor)]
    if not fakes or torch.compiler.is_compiling():
        return
    mode = torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE)
    if mode is None or (len(fakes) < len(tensors) and not mode.allow_non_fake_inputs):
        where = "outside of their FakeTensorMode" if mode is None else "and others are not"
        raise TypeError(
            f"{function}: inputs are FakeTensors, which hold no values, {where}; pass tensors that hold "
            "values, or create all tensors and call it within the mode"
        )

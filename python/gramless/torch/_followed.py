"""Detects whether autograd, transforms or dispatch modes of torch record operations on tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from ._derivatives import in_forward_mode

# Private to torch: where they are missing, nothing is plain.
_transforms = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)
_modes = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 1)
is_wrapped = getattr(torch._C._functorch, "is_functorch_wrapped_tensor", lambda x: True)  # by torch.func
PLAIN = frozenset([Tensor, torch.nn.Parameter, float])


def is_plain(inputs: Sequence[Any]) -> bool:
    """Whether the tensors among these have data, and nothing but autograd records or transforms them."""
    followed = torch.compiler.is_compiling() or _transforms() or _modes() > 0 or in_forward_mode()
    return not followed and PLAIN.issuperset(map(type, inputs))


def needs_autograd(inputs: Sequence[Any]) -> bool:
    """Whether autograd must record computations on these."""
    if torch.is_grad_enabled():
        for x in inputs:
            if isinstance(x, Tensor) and x.requires_grad:
                return True
    return False


def check_fakes(function: str, inputs: Sequence[Any]) -> None:
    """Raises TypeError for tensors of a FakeTensorMode outside of it, or beside others that it refuses."""
    tensors = [x for x in inputs if isinstance(x, Tensor)]
    fakes = [x for x in tensors if isinstance(x, FakeTensor)]
    if not fakes or torch.compiler.is_compiling():
        return
    mode = torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE)
    if mode is None or (len(fakes) < len(tensors) and not mode.allow_non_fake_inputs):
        where = "outside of their FakeTensorMode" if mode is None else "and others are not"
        raise TypeError(
            f"{function}: inputs are FakeTensors, which hold no values, {where}; pass tensors that hold "
            "values, or call it within the mode with every tensor made there"
        )

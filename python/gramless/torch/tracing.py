"""Traces the dimensions of a batch's tensors through a forward pass, operation by operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from .axes import EXAMPLES, FEATURES, POSITIONS, Axis, Dims, fresh
from .axis_rules import dims_after
from .outputs import tensors_in

_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_BATCH_FIRST = (nn.RNNBase, nn.MultiheadAttention)


@dataclass(frozen=True)
class Origin:
    """The dimensions of a tensor, and the entries of the batch that it was computed from."""

    dims: Dims
    entries: frozenset[str] = frozenset()


class Tracer(TorchDispatchMode):
    """While entered, `origin` returns the origin of every tensor computed from those passed to `enter`.

    >>> tracer, x = Tracer(), torch.ones(4, 3, 8, 8)
    >>> tracer.enter({"x": x}, rows=4)
    >>> with tracer:
    ...     y = torch.nn.functional.conv2d(x, torch.ones(5, 3, 1, 1)).permute(0, 2, 3, 1)
    >>> [axis.role for (axis,) in tracer.origin(y).dims]
    ['N', 'L', 'L', 'C']
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._origins: Any = WeakIdKeyDictionary()

    def enter(
        self, entries: dict[str, torch.Tensor], rows: int | None, second: frozenset[str] = frozenset()
    ) -> None:
        """Register tensors of the batch, whose first dimension (for names in `second` the second) is the
        `rows` examples.
        """
        for name, tensor in entries.items():
            if tensor.is_nested or tensor.layout is not torch.strided or tensor.ndim == 0:
                continue
            numbered = not tensor.is_floating_point() and tensor.ndim > 1  # token ids and masks
            roles: list[str | None] = [POSITIONS if numbered else None] * tensor.ndim
            if name in second:
                roles[:2] = POSITIONS, EXAMPLES
            elif len(tensor) == rows:
                roles[0] = EXAMPLES
            pairs = zip(tensor.shape, roles, strict=True)
            dims = tuple(() if size == 1 else (Axis(size, role, entry=True),) for size, role in pairs)
            self._origins[tensor] = Origin(dims, frozenset((name,)))

    def origin(self, tensor: torch.Tensor) -> Origin | None:
        """The origin of a tensor; None for tensors, such as weights, that do not depend on the batch."""
        found: Origin | None = self._origins.get(tensor)
        return found

    def declare_rnn(self, output: torch.Tensor, given: torch.Tensor, batch_first: bool) -> None:
        """Record the output of nn.RNN, nn.LSTM and nn.GRU, with the examples and positions of the input."""
        origin, before = self.origin(output), self.origin(given)
        if output.ndim != 3 or origin is None or before is None:
            return
        place = 0 if batch_first else 1
        dims = list(before.dims[:2])
        if not any(axis.role == EXAMPLES for dimension in dims for axis in dimension):
            dims[place] = fresh(output.shape[place], EXAMPLES)
        self._origins[output] = Origin((*dims, fresh(output.shape[2], FEATURES)), origin.entries)

    def contradicted(self, module: nn.Module, inputs: Sequence[Any]) -> frozenset[str]:
        """The entries of the batch for which the `batch_first` of this module contradicts the assumed
        dimension of examples.
        """
        if not isinstance(module, _BATCH_FIRST) or not inputs or not isinstance(inputs[0], torch.Tensor):
            return frozenset()
        origin = self.origin(inputs[0])
        if origin is None or len(origin.dims) != 3:
            return frozenset()
        here, other = origin.dims[:2] if module.batch_first else origin.dims[1::-1]
        own = all(axis.root.entry for axis in (*here, *other))  # a single example has no axis
        alone = own and len(other) == 1 and len(here) < 2
        return origin.entries if alone and other[0].role == EXAMPLES else frozenset()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = tensors_in([args, kwargs])
        of_their_own = bool(types) or any(
            tensor.is_nested for tensor in tensors
        )  # tensor subclasses and nested tensors define operations of their own
        if not of_their_own and _is_composite(func):
            with self:
                return func._op_dk(_COMPOSITE, *args, **kwargs)
        result = func(*args, **kwargs)
        before = [origin for origin in map(self.origin, tensors) if origin is not None]
        if before:
            self._follow(func, (*args, *kwargs.values()), result, before)
        return result

    def _follow(self, func: Any, args: tuple[Any, ...], result: Any, before: Sequence[Origin]) -> None:
        entries = frozenset().union(*(origin.entries for origin in before))
        name = func._schema.name.rpartition("::")[2] if isinstance(func, torch._ops.OpOverload) else ""
        for tensor in tensors_in(result):
            if tensor.is_nested:
                self._origins[tensor] = Origin((), entries)
                continue
            try:
                dims = dims_after(name, args, self._dims, tensor.shape)
            except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
                dims = None  # the rule does not know these arguments, so that the dimensions are unknown
            self._origins[tensor] = Origin(dims or _unknown(tensor), entries)
            base = tensor._base
            if name.endswith("_") and base is not None:  # an operation in place on a view
                known = self.origin(base) or Origin(_unknown(base))
                self._origins[base] = Origin(known.dims, known.entries | entries)

    def _dims(self, tensor: Any) -> Dims | None:
        origin = self.origin(tensor) if isinstance(tensor, torch.Tensor) else None
        return None if origin is None else origin.dims


@cache
def _is_composite(func: Any) -> bool:
    """Whether an operation consists of others; torch.inference_mode does not decompose these."""
    if not isinstance(func, torch._ops.OpOverload):
        return False
    return all(
        torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), key) is there
        for key, there in (("CompositeImplicitAutograd", True), ("CPU", False))
    )


def _unknown(tensor: torch.Tensor) -> Dims:
    return tuple(fresh(size) for size in tensor.shape)

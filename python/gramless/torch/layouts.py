"""Which dimensions of a layer's output are examples, features and positions: from the given layout, the type
of the module and the operations around it, and from the shape only if that is unambiguous.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

import torch
from torch import nn

from .._layouts import choices
from .axes import EXAMPLES, FEATURES, POSITIONS, Axis
from .outputs import PoolError, no_examples
from .tracing import Origin

Factor = tuple[int, "str | None"]  # size (0 for the whole dimension) and role

_LAST: tuple[type[nn.Module], ...] = (
    *(nn.Linear, nn.Bilinear, nn.Embedding, nn.LayerNorm, nn.RMSNorm),
    *(nn.RNN, nn.LSTM, nn.GRU, nn.MultiheadAttention, nn.Transformer),
    *(nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.TransformerEncoder, nn.TransformerDecoder),
)
_SECOND = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_SECOND_IF_UNKNOWN = r"BatchNorm|InstanceNorm|GroupNorm|Pool\dd|Upsample|Pixel|LocalResponse|Conv|Dropout\dd"


class UnknownLayout(PoolError):
    """A layer's layout is ambiguous, or is not the given one; the user must pass its layout."""


@dataclass(frozen=True)
class Layout:
    """The factors of every dimension with their roles; `positions` are the axes that are averaged."""

    dims: tuple[tuple[Factor, ...], ...]
    positions: tuple[Axis, ...] = field(default=(), compare=False)

    @property
    def letters(self) -> str:
        """One letter for each dimension: N examples, C features, others positions; several in one dimension
        are in brackets.

        >>> Layout.of_text("NCHW").letters
        'NCHW'
        """
        roles = [role for factors in self.dims for _, role in factors]
        positions = iter({1: "L", 2: "HW", 3: "DHW"}.get(roles.count(POSITIONS), "P" * len(roles)))
        known: dict[str | None, str] = {EXAMPLES: "N", FEATURES: "C"}
        found = [
            "".join(known.get(role) or next(positions, "P") for _, role in factors) for factors in self.dims
        ]
        return "".join(dim if len(dim) == 1 else f"({dim})" for dim in found)

    def arranged(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor as (examples, positions..., features), without a copy if its strides allow.

        >>> Layout.of_text("LNC").arranged(torch.ones(7, 5, 3)).shape
        torch.Size([5, 7, 3])
        """
        sizes, roles = [], []
        for size, factors in zip(tensor.shape, self.dims, strict=True):
            known = prod(own for own, role in factors if role != EXAMPLES and len(factors) > 1)
            for own, role in factors:
                sizes.append(size if len(factors) == 1 else size // known if role == EXAMPLES else own)
                roles.append(role)
        if len(sizes) != tensor.ndim:
            tensor = tensor.reshape(sizes)
        order = [
            place
            for wanted in (EXAMPLES, POSITIONS, FEATURES)
            for place, role in enumerate(roles)
            if role == wanted
        ]
        features = roles.count(FEATURES)
        return tensor.permute(order).flatten(-features) if features else tensor.permute(order)[..., None]

    def check(self, tensor: torch.Tensor, rows: int | None) -> None:
        """Raise PoolError unless a tensor has these dimensions and `rows` examples."""
        if tensor.ndim != len(self.dims):
            raise PoolError(
                f"returns shape {tuple(tensor.shape)} but had {len(self.dims)} dimensions in the first batch"
            )
        for size, factors in zip(tensor.shape, self.dims, strict=True):
            if rows is None or EXAMPLES not in [role for _, role in factors]:
                continue
            others = prod(own for own, role in factors if role != EXAMPLES and len(factors) > 1)
            if size != rows * others:
                raise no_examples(tensor.shape, rows)

    @property
    def examples_first(self) -> bool:
        """Whether the first dimension is the examples and nothing else."""
        return len(self.dims[0]) == 1 and self.dims[0][0][1] == EXAMPLES

    @classmethod
    def of_text(cls, text: str, origin: Origin | None = None) -> Layout:
        """The layout given by letters such as "NHWC"."""
        roles = [letter if letter in "NC" else POSITIONS for letter in text]
        return cls(tuple(((0, role),) for role in roles), _positions(roles, origin))


def _positions(roles: Sequence[str | None], origin: Origin | None) -> tuple[Axis, ...]:
    """The axes of the dimensions that are positions."""
    if origin is None:
        return ()
    pairs = zip(origin.dims, roles, strict=True)
    return tuple(axis for dimension, role in pairs if role == POSITIONS for axis in dimension)


def decide(
    module: nn.Module | None,
    tensor: torch.Tensor,
    origin: Origin | None,
    rows: int | None,
    final: bool = True,
    layer: str = "layer",
) -> Layout | None:
    """The layout of a module's output for a batch of `rows` examples.

    If it is ambiguous, raises `UnknownLayout` or, unless final, returns None, because later operations may
    decide it. Raises PoolError if no dimension can be the examples.
    """
    if origin is None or len(origin.dims) != tensor.ndim:
        origin = Origin(tuple((Axis(size),) if size != 1 else () for size in tensor.shape))
    dims: list[list[Factor]] = [_factors(dimension) for dimension in origin.dims]
    place = _features_by_type(module, tensor.ndim)
    if place is None and not final and sum(map(_inherits_features, origin.dims)) > 1:
        return None  # features were split into several dimensions; later operations may show positions
    if place is None and not _holds(FEATURES, dims):
        place = _features_if_unknown(module, tensor.ndim)
    if place is not None:
        dims = [[(size, _other(role)) for size, role in factors] for factors in dims]
        dims[place] = [(0, FEATURES)]
    found = _with_examples(dims, module, tensor, rows, final, layer)
    if found is None:
        return None
    if tensor.ndim <= 2:
        return _flat(found, origin)
    if not _holds(FEATURES, found):
        _ambiguous(tensor, layer, final, examples_first=found[0] == [(0, EXAMPLES)])
        return None
    settled = []
    for factors in found:
        roles = {role for _, role in factors}
        whole = FEATURES in roles and EXAMPLES not in roles
        settled.append([(0, FEATURES)] if whole else [(size, role or POSITIONS) for size, role in factors])
    return _finished(settled, origin)


def _finished(dims: Sequence[Sequence[Factor]], origin: Origin) -> Layout:
    axes = []
    for factors, dimension in zip(dims, origin.dims, strict=True):
        if len(factors) == len(dimension):
            pairs = zip(factors, dimension, strict=True)
            axes += [axis for (_, role), axis in pairs if role == POSITIONS]
    return Layout(tuple(map(tuple, dims)), tuple(axes))


def _flat(dims: list[list[Factor]], origin: Origin) -> Layout:
    """The layout of two dimensions: examples and features; one may merge examples with positions."""
    found = []
    for factors in dims:
        kept = _holds(EXAMPLES, [factors])
        found.append([(size, role or POSITIONS) for size, role in factors] if kept else [(0, FEATURES)])
    return _finished(found, origin)


def _factors(dimension: Sequence[Axis]) -> list[Factor]:
    if len(dimension) > 1:
        if all(axis.root.merged and axis.role in (None, FEATURES) for axis in dimension):
            return [(0, FEATURES)]
        return [(axis.size, axis.role) for axis in dimension]
    return [(0, dimension[0].role if dimension else POSITIONS)]


def _inherits_features(dimension: Sequence[Axis]) -> bool:
    return any(axis.inherits and axis.role == FEATURES for axis in dimension)


def _other(role: str | None) -> str | None:
    return POSITIONS if role == FEATURES else role


def _features_by_type(module: nn.Module | None, dimensions: int) -> int | None:
    """The dimension of features of modules that define it, also of derived classes with the same forward."""
    forward = getattr(type(module), "forward", None)
    if dimensions < 3 or module is None:
        return None
    if len(getattr(module, "normalized_shape", (1,))) > 1:
        return None
    if any(forward is kind.forward for kind in _LAST):
        return dimensions - 1
    return 1 if any(forward is kind.forward for kind in _SECOND) else None


def _features_if_unknown(module: nn.Module | None, dimensions: int) -> int | None:
    """The dimension of features of torch's other modules, if no operation before or after decides it."""
    if module is None or dimensions < 3 or not type(module).__module__.startswith(("torch.", "torchao.")):
        return None
    name = type(module).__name__
    if re.search(_SECOND_IF_UNKNOWN, name):
        return 1
    return dimensions - 1 if "Linear" in name or "Embedding" in name else None


def _holds(role: str, dims: Sequence[Sequence[Factor]]) -> bool:
    return any(own == role for factors in dims for _, own in factors)


def _with_examples(
    dims: list[list[Factor]],
    module: nn.Module | None,
    tensor: torch.Tensor,
    rows: int | None,
    final: bool,
    layer: str,
) -> list[list[Factor]] | None:
    """The dimensions with exactly one of them as the examples, or None if that is undecided."""
    there = [place for place, factors in enumerate(dims) for _, role in factors if role == EXAMPLES]
    if len(there) == 1 and _is_whole(dims[there[0]], tensor.shape[there[0]], rows):
        return dims
    dims = [[(size, None if role == EXAMPLES else role) for size, role in factors] for factors in dims]
    if tensor.ndim <= 2 or rows is None:
        possible = [0]
    else:
        free = [place for place, factors in enumerate(dims) if factors != [(0, FEATURES)]]
        possible = [place for place in free if tensor.shape[place] == rows]
        if rows == 1 or isinstance(module, (nn.RNNBase, nn.MultiheadAttention)):
            possible = possible[:1] if rows == 1 or module.batch_first else possible[-1:]  # type: ignore[union-attr]
    if not possible or (rows is not None and tensor.shape[possible[0]] != rows):
        raise no_examples(tensor.shape, rows)
    if len(possible) > 1:
        _ambiguous(tensor, layer, final, examples_first=False)
        return None
    dims[possible[0]] = [(0, EXAMPLES)]
    return dims


def _is_whole(factors: Sequence[Factor], size: int, rows: int | None) -> bool:
    """Whether a dimension holds all examples, alone or merged with other factors of known roles."""
    if len(factors) == 1:
        return rows is None or size == rows
    examples = size // prod(own for own, role in factors if role != EXAMPLES)
    return None not in [role for _, role in factors] and (rows is None or examples == rows)


def _ambiguous(tensor: torch.Tensor, layer: str, final: bool, examples_first: bool) -> None:
    if final:
        raise UnknownLayout(
            f"returns shape {tuple(tensor.shape)}, and neither its module nor the operations around it show "
            f"which dimensions are examples, features and positions; pass layout={{{layer!r}: ...}} with "
            f"{choices(tensor.ndim, examples_first)}"
        )

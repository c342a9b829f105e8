"""The effect of torch's operations on the dimensions of tensors: one rule per kind of operation.

A rule receives the arguments of an operation, a function that maps a tensor to its `Dims` (None if unknown),
and the shape of the result; it returns the `Dims` of the result or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, TypeAlias

import torch

from . import axes
from .axes import EXAMPLES, FEATURES, POSITIONS, Dimension, Dims, combined, fresh, role_of, viewed
from .outputs import tensors_in
from .product_rules import Known, added_product, attention, packed_linear, product, trilinear

Rule: TypeAlias = "Callable[[tuple[Any, ...], Known, Sequence[int]], Dims | None]"


def dims_after(name: str, args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    """The dimensions of one result of the operation `name`, such as "permute"."""
    rule = _RULES.get(name) or _RULES.get(name.rstrip("_"))
    if rule is None:
        rule = next((found for pattern, found in _PATTERNS if re.search(pattern, name)), _elementwise)
    dims = rule(args, known, shape)
    if dims is None or [prod(axis.size for axis in dimension) for dimension in dims] != list(shape):
        return None
    return dims


def _elementwise(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    """The default rule, for results with the broadcast shape of the operands."""
    tensors = tensors_in(args)
    operands = [dims for dims in map(known, tensors) if dims is not None]
    if not operands or tuple(shape) != _broadcast(tensors):
        return None
    return combined(shape, operands)


def _broadcast(tensors: Sequence[torch.Tensor]) -> tuple[int, ...] | None:
    try:
        return tuple(torch.broadcast_shapes(*(tensor.shape for tensor in tensors)))
    except RuntimeError:
        return None


def _same_places(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    """The rule of operations that keep the order of dimensions; resized dimensions keep their roles."""
    dims = known(args[0])
    if dims is None or len(dims) != len(shape):
        return None
    return tuple(
        dimension if size == old else _resized(dimension, size)
        for dimension, size, old in zip(dims, shape, args[0].shape, strict=True)
    )


def _flipped(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    dims = known(args[0])
    return None if dims is None else axes.reordered(dims, [place % len(dims) for place in args[1]], True)


def _rolled(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    dims = known(args[0])
    if dims is None or len(args) < 3 or not args[2]:  # without dimensions, roll flattens the tensor
        return None
    return axes.reordered(dims, [place % len(dims) for place in args[2]])


def _padded_ends(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    """`pad`; as many entries added before a dimension as are removed behind it shift that dimension."""
    dims, ends = _same_places(args, known, shape), list(args[1])
    if dims is None:
        return None
    pairs = zip(range(len(dims) - 1, -1, -1), ends[::2], ends[1::2], strict=False)
    return axes.reordered(dims, [place for place, before, behind in pairs if before == -behind != 0])


def _chosen(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    """`index_select`, `gather` and `sort`, which may permute a dimension."""
    before, dims = known(args[0]), _same_places(args, known, shape)
    if before is None or dims is None:
        return None
    place = next((entry for entry in args[1:] if isinstance(entry, int)), -1) % len(dims)
    return dims if dims[place] != before[place] else axes.reordered(dims, [place])


def _resized(dimension: Dimension, size: int) -> Dimension:
    roles = {axis.role for axis in dimension}
    role = roles.pop() if len(roles) == 1 else None
    return fresh(size, None if role == EXAMPLES else role)


def _view(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    dims = known(args[0])
    return None if dims is None else viewed(dims, shape)


def _permute(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    dims = known(args[0])
    return None if dims is None else tuple(dims[place] for place in args[1])


def _transpose(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    dims = known(args[0])
    if dims is None:
        return None
    one, two = args[1:3] if len(args) > 2 else (0, len(dims) - 1)  # `t` has no dimensions as arguments
    found = list(dims)
    found[one], found[two] = found[two], found[one]
    return tuple(found)


def _as_real(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    """`view_as_real`, which adds a last dimension for the real and the imaginary part."""
    dims = known(args[0])
    return None if dims is None else (*dims, fresh(2))


def _as_complex(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    dims = known(args[0])
    return None if dims is None else dims[:-1]


def _unsqueeze(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    dims = known(args[0])
    place = args[1] % len(shape)
    return None if dims is None else (*dims[:place], (), *dims[place:])


def _select(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    dims = known(args[0])
    place = (args[1] if len(args) > 1 else 0) % (len(shape) + 1)  # optional in `unbind`
    return None if dims is None else (*dims[:place], *dims[place + 1 :])


def _expand(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    dims = known(args[0])
    return None if dims is None else combined(shape, [dims])


def _reduced(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    dims = known(args[0])
    if dims is None:
        return None
    if len(shape) == len(dims):
        return _same_places(args, known, shape)
    if len(args) < 2 or args[1] is None:
        return None
    places = [args[1]] if isinstance(args[1], int) else list(args[1])
    gone = {place % len(dims) for place in places}
    return tuple(dimension for place, dimension in enumerate(dims) if place not in gone)


def _cat(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    operands = [(tensor, known(tensor)) for tensor in args[0]]
    there = [(t, dims) for t, dims in operands if dims is not None and len(dims) == len(shape)]
    if not there:
        return None
    place = (args[1] if len(args) > 1 else 0) % len(shape)
    kept = [tuple(() if i == place else d for i, d in enumerate(dims)) for _, dims in there]
    found = list(combined([1 if i == place else size for i, size in enumerate(shape)], kept))
    first = next((dims[place] for _, dims in there if dims[place]), ())
    found[place] = first if there[0][0].shape[place] == shape[place] else _resized(first, shape[place])
    return tuple(found)


def _stack(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    operands = [dims for dims in map(known, args[0]) if dims is not None]
    if not operands:
        return None
    place = (args[1] if len(args) > 1 else 0) % len(shape)
    found = combined([size for i, size in enumerate(shape) if i != place], operands)
    return (*found[:place], fresh(shape[place]), *found[place:])


def _convolution(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    dims = known(args[0])
    if dims is None or len(dims) != len(shape):
        return None
    axes.features_second(dims)
    found = [dims[0], fresh(shape[1], FEATURES)]
    for dimension, size, old in zip(dims[2:], shape[2:], args[0].shape[2:], strict=True):
        kept = size == old and all(axis.role != FEATURES for axis in dimension)
        found.append(dimension if kept else fresh(size, POSITIONS))
    return tuple(found)


def _normalised_second(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    dims = known(args[0])
    if dims is not None:
        axes.features_second(dims)
    return _same_places(args, known, shape)


def _layer_norm(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    dims = known(args[0])
    if dims is None or len(args[1]) != 1:
        return _same_places(args, known, shape)
    axes.features_last(dims)
    return (*dims[:-1], dims[-1] if role_of(dims[-1]) == FEATURES else fresh(shape[-1], FEATURES))


def _embedding(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    dims = known(args[1])
    if dims is None:
        return None
    for dimension in dims:
        for axis in dimension:
            axis.settle(POSITIONS)
    return (*dims, fresh(shape[-1], FEATURES))


def _shuffled(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    dims = known(args[0])
    if dims is None:
        return None
    return (dims[0], fresh(shape[1], FEATURES), *(fresh(size, POSITIONS) for size in shape[2:]))


def _index(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    """x[:, rows, columns]: indexed dimensions keep their roles if the number of dimensions stays the same."""
    dims, indices = known(args[0]), list(args[1])
    places = [place for place, index in enumerate(indices) if index is not None]
    if dims is None or len(dims) != len(shape) or places != list(range(places[0], places[-1] + 1)):
        return None
    found = _same_places(args, known, shape)
    return None if found is None else axes.reordered(found, [i for i in places if found[i] == dims[i]])


def _strided(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    """`as_strided`, if only the strides of dimensions of size 1 change."""
    dims, tensor = known(args[0]), args[0]
    if dims is None or tuple(tensor.shape) != tuple(shape):
        return None
    strides = zip(tensor.stride(), args[2], shape, strict=True)
    return dims if all(size == 1 or old == new for old, new, size in strides) else None


def _padded(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    """`pad_packed_sequence`, whose third argument is batch_first."""
    if len(shape) != 3:
        return None
    roles = (EXAMPLES, POSITIONS) if args[2] else (POSITIONS, EXAMPLES)
    return (*map(fresh, shape[:2], roles), fresh(shape[2], FEATURES))


def _unknown(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    return None


_RULES: dict[str, Rule] = {
    **dict.fromkeys(("view", "_unsafe_view", "_reshape_alias", "reshape", "squeeze"), _view),
    **dict.fromkeys(("transpose", "t", "swapaxes"), _transpose),
    **dict.fromkeys(("select", "unbind"), _select),
    **dict.fromkeys(("slice", "split", "split_with_sizes", "chunk", "narrow"), _same_places),
    **dict.fromkeys(("index_select", "gather", "sort"), _chosen),
    **dict.fromkeys(("topk", "repeat", "repeat_interleave", "glu"), _same_places),
    "flip": _flipped,
    "roll": _rolled,
    "constant_pad_nd": _padded_ends,
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "argmax", "argmin", "prod"), _reduced),
    **dict.fromkeys(("logsumexp", "var", "std", "var_mean", "any", "all", "norm"), _reduced),
    **dict.fromkeys(("linalg_vector_norm", "cumsum"), _same_places),
    **dict.fromkeys(("mm", "bmm", "matmul", "linear"), product),
    **dict.fromkeys(("addmm", "baddbmm"), added_product),
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "im2col", "col2im"), _shuffled),
    **dict.fromkeys(("unfold", "nonzero", "masked_select", "take"), _unknown),
    **dict.fromkeys(("_fft_r2c", "_fft_c2c", "_fft_c2r"), _same_places),
    "view_as_real": _as_real,
    "view_as_complex": _as_complex,
    "as_strided": _strided,
    **dict.fromkeys(("index", "_unsafe_index"), _index),
    "_pad_packed_sequence": _padded,
    "_trilinear": trilinear,
    "permute": _permute,
    "unsqueeze": _unsqueeze,
    "expand": _expand,
    "cat": _cat,
    "stack": _stack,
    "embedding": _embedding,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _normalised_second,
}
_PATTERNS: list[tuple[str, Rule]] = [
    (r"convolution|conv_transpose|^conv\d", _convolution),
    (r"batch_norm", _normalised_second),
    (r"pool|upsample|grid_sampler", _normalised_second),
    (r"pad", _same_places),
    (r"scaled_dot_product", attention),
    (r"^linear_", packed_linear),
    (r"rnn_layer|lstm|gru", _unknown),
]

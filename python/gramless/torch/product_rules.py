"""The effect of products on the dimensions of tensors: linear layers, attention, products of two tensors.

The rules have the form that `axis_rules` describes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch

from . import axes
from .axes import FEATURES, POSITIONS, Axis, Dimension, Dims, fresh, role_of

Known: TypeAlias = "Callable[[Any], Dims | None]"


def product(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    """(..., m, k) times (..., k, p): m of the first, p of the second; p of a weight matrix is features."""
    if not isinstance(args[1], torch.Tensor):
        return packed_linear(args, known, shape)
    a, b = known(args[0]), known(args[1])
    if a is None:
        return None if b is None else (*b[:-2], _of_weights(shape[-2], b[-2]), b[-1])
    if b is not None:
        return (*(_rows_of(dimension, b[-1]) for dimension in a[:-1]), b[-1])
    axes.features_last(a)
    return (*(tuple(map(_no_features, dimension)) for dimension in a[:-1]), fresh(shape[-1], FEATURES))


def packed_linear(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    """A quantised linear layer, whose weights are not a tensor."""
    dims = known(args[0])
    return None if dims is None else (*dims[:-1], fresh(shape[-1], FEATURES))


def trilinear(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    """The rule of `nn.Bilinear`, for (rows, features)."""
    dims = known(args[0])
    return None if dims is None or len(dims) != 2 else (dims[0], fresh(shape[-1], FEATURES))


def added_product(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    return product(args[1:], known, shape)


def _of_weights(size: int, contracted: Dimension) -> Dimension:
    """The dimension that a weight matrix on the left of a product adds; learned queries (or channels) if the
    product contracts features.
    """
    dimension = fresh(size)
    for axis in dimension if role_of(contracted) == FEATURES else ():
        axis.learned = True
    return dimension


def _rows_of(dimension: Dimension, columns: Dimension) -> Dimension:
    """A dimension of the first of two tensors in a product. If it and the columns of the second one are both
    features, it counts positions, unless it is a part of features, such as heads.
    """
    whole = all(axis.root.parent is None for axis in dimension)
    return tuple(map(_no_features, dimension)) if whole and role_of(columns) == FEATURES else dimension


def _no_features(axis: Axis) -> Axis:
    """The axis, with features as positions, for products that act on another dimension."""
    if axis.role != FEATURES:
        return axis
    found = Axis(axis.size, POSITIONS)
    found.channels, found.learned = True, axis.root.learned
    return found


def attention(args: tuple[Any, ...], known: Known, shape: Sequence[int]) -> Dims | None:
    query, key, value = map(known, args[:3])
    if query is None and key is not None and value is not None:
        return (*value[:-2], _of_weights(shape[-2], key[-1]), value[-1])
    if query is None or len(query) != len(shape):
        return None
    last = value[-1] if value is not None else fresh(shape[-1])
    return (*query[:-1], last)

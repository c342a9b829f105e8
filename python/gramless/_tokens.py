"""Conversion of mappings, tuples, tokens and masks to named layers with one row per example."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ._masked import check_unmasked

Array: TypeAlias = Any
Library: TypeAlias = Any
Bools: TypeAlias = npt.NDArray[np.bool_]

POOLS = ("mean", "last", "class")
_CHOICES = 'pool="mean", "last" or "class" for a row per example, or rows="tokens" for a row per token'
_ALSO = ("name", "module", "mask")  # optional parameters of a callable


def is_mapping(layers: Any) -> bool:
    """Whether layers have names: a mapping, or an object of another package that behaves like one."""
    return isinstance(layers, Mapping) or (
        hasattr(layers, "keys") and hasattr(layers, "__getitem__") and not hasattr(layers, "dtype")
    )


def named_layers(layers: Any) -> tuple[list[str], list[Any]]:
    """The names and arrays of a mapping; arrays in a tuple or list are named name[0], name[1], ...

    >>> named_layers({"embedding": np.ones(1), "hidden": (np.ones(2), np.ones(3))})[0]
    ['embedding', 'hidden[0]', 'hidden[1]']
    """
    names: list[str] = []
    arrays: list[Any] = []
    for key in layers.keys():  # noqa: SIM118 - some caches of activations do not iterate over their keys
        value = layers[key]
        if isinstance(value, (tuple, list)) and value and all(hasattr(x, "shape") for x in value):
            names += [f"{key}[{i}]" for i in range(len(value))]
            arrays += value
        else:
            names.append(str(key))
            arrays.append(value)
    return names, arrays


def check_names(function: str, argument: str, names: Any, count: int) -> list[str]:
    """`names` as a list of text, checked to have one name for each layer."""
    if isinstance(names, (str, bytes)) or not isinstance(names, Sequence):
        raise TypeError(f"{function}: {argument} must be a sequence of names but is {names!r}")
    found = [str(name) for name in names]
    if len(found) != count:
        raise ValueError(f"{function}: {argument} has {len(found)} names for {count} layers")
    return found


def check_pool(function: str, pool: Any, rows: Any) -> None:
    """Raise ValueError unless pool is None, a known name or a callable, and goes with `rows`."""
    if pool is not None and not callable(pool) and (not isinstance(pool, str) or pool not in POOLS):
        names = ", ".join(f'"{name}"' for name in POOLS)
        raise ValueError(f"{function}: pool must be {names}, a callable or None but is {pool!r}")
    if not isinstance(rows, str) or rows not in ("examples", "tokens"):
        raise ValueError(f'{function}: rows must be "examples" or "tokens" but is {rows!r}')
    if pool is not None and rows == "tokens":
        raise ValueError(f'{function}: rows="tokens" keeps every token, so pool must be None but is {pool!r}')


def check_mask(function: str, argument: str, mask: Any, host: Callable[[Any], Any]) -> Bools | None:
    """A mask (examples, tokens) as booleans, True for valid tokens. host: copies an array to numpy."""
    if mask is None:
        return None
    check_unmasked(function, argument, mask)
    values = np.asarray(host(mask))
    if values.ndim != 2:
        raise ValueError(f"{function}: {argument} must be (examples, tokens) but has shape {values.shape}")
    check_mask_values(function, argument, values)
    valid: Bools = values.astype(bool)
    if not valid.any(axis=1).all():
        empty = int(np.argmin(valid.any(axis=1)))
        raise ValueError(f"{function}: row {empty} of {argument} has no valid token")
    return valid


def check_mask_values(function: str, argument: str, values: npt.NDArray[Any]) -> None:
    """Raise ValueError unless a mask holds only 0 and 1, or booleans."""
    if values.dtype.kind not in "biuf" or not ((values == 0) | (values == 1)).all():
        raise ValueError(
            f"{function}: {argument} must hold only 1 (True) for valid tokens and 0 (False) for padding; "
            "for a mask that is added to attention scores pass mask == 0"
        )


def rows_of(
    function: str, name: str, library: Library, x: Array, mask: Bools | None, pool: Any, rows: str
) -> Array:
    """A layer (n, features) unchanged, or one (examples, tokens, features) pooled to rows."""
    shape = tuple(x.shape)
    if len(shape) != 3:
        return x  # two dimensions are rows already; a later check refuses other shapes
    if mask is not None and mask.shape != shape[:2]:
        raise ValueError(
            f"{function}: {name} has shape {shape}, (examples, tokens, features), but its mask has shape "
            f"{mask.shape} instead of {shape[:2]}"
        )
    if rows == "tokens":
        if mask is None:
            return x.reshape(-1, shape[2])
        return library.at(x, *np.nonzero(mask))
    if pool is None:
        how = "pass" if function == "layer_matrix" else "call layer_matrix with"
        raise ValueError(
            f"{function}: {name} has shape {shape}; if that is (examples, tokens, features), {how} {_CHOICES}"
        )
    if pool == "mean":
        return library.token_means(x, mask)
    valid = np.ones(shape[:2], bool) if mask is None else mask
    places = np.argmax(valid, axis=1) if pool == "class" else shape[1] - 1 - np.argmax(valid[:, ::-1], axis=1)
    return library.at(x, np.arange(shape[0]), places)


def pooled_by(function: str, label: str, pool: Callable[..., Any], x: Array, name: str, mask: Any) -> Array:
    """The rows that the callable `pool` returns for a layer; it may take name and mask as well."""
    found = with_what_it_takes(pool)(x, name, None, mask)
    shape = tuple(getattr(found, "shape", ()))
    if len(shape) != 2:
        what = f"shape {shape}" if shape else type(found).__name__
        raise ValueError(
            f"{function}: pool must return an array (rows, features) but returns {what} for {label} of shape "
            f"{tuple(x.shape)}"
        )
    return found


def with_what_it_takes(pool: Callable[..., Any]) -> Callable[..., Any]:
    """A function of (array, name, module, mask) that passes `pool` only the arguments that it accepts."""
    try:
        parameters = list(inspect.signature(pool).parameters.values())
    except (TypeError, ValueError):  # builtins
        return lambda array, *_: pool(array)
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return lambda array, *_: pool(array)
    by_name = {p.name for p in parameters[1:] if p.kind is not p.POSITIONAL_ONLY} & set(_ALSO)
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        by_name = set(_ALSO)
    needed = [p for p in parameters[1:] if p.default is p.empty and p.name not in by_name]
    by_place = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in needed)

    def call(array: Any, *others: Any) -> Any:
        named = {key: value for key, value in zip(_ALSO, others, strict=True) if key in by_name}
        return pool(array, *others[:by_place], **named)

    return call

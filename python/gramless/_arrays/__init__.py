"""The edge of the library: what users pass becomes what the core reads, or one sentence says why not.

Nothing is copied here: a numpy array or a torch CPU tensor is read where it lies.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Described: TypeAlias = Any  # a two-dimensional numpy array, or the tuple _core reads in its place

DTYPES = frozenset(
    ["float32", "float64", "float16", "bfloat16", "bool"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)
_NAMES = {char: np.dtype(char).name for char in "efd?bhilqBHILQ"}  # which numpy takes 3 us each to spell
TENSOR_DEVICES = frozenset(["cuda"])  # where tensors live that the CUDA half reads; tests have others
_DLPACK_CUDA = (2, 13)  # memory of a device, and managed memory
FLOAT64 = frozenset(["float64", "int32", "int64", "uint32", "uint64"])


class TensorView(tuple[Any, ...]):
    """What the core reads in the place of a tensor: address, rows, columns, strides in bytes, dtype.

    It holds the tensor, which may have no other owner, such as one a lazy sequence makes for each access.
    """

    held: Any


def is_tensor(x: object) -> bool:
    """Whether x is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def any_tensor(*arrays: object) -> bool:
    """Whether torch is to compute with these, so that autograd and its other transforms see what happens."""
    torch = sys.modules.get("torch")
    return torch is not None and any(isinstance(x, torch.Tensor) for x in arrays)


def is_on_device(x: object) -> bool:
    """Whether x is what the CUDA half computes with: a tensor, or an array that tells its device address."""
    if type(x) is np.ndarray:
        return False
    if is_tensor(x):
        return x.device.type in TENSOR_DEVICES  # type: ignore[attr-defined]
    if hasattr(x, "__cuda_array_interface__"):
        return True
    return hasattr(x, "__dlpack_device__") and int(x.__dlpack_device__()[0]) in _DLPACK_CUDA


def any_on_device(*arrays: object) -> bool:
    """Whether the CUDA half is to compute with these, or to say that it cannot."""
    return any(is_on_device(x) for x in arrays)


def to_host(x: Any) -> np.ndarray[Any, Any]:
    """What an array holds, as numpy's; waits for a device until it is there."""
    if is_tensor(x):
        return np.asarray(x.detach().cpu().numpy())
    return np.asarray(x.get() if hasattr(x, "get") else x)


def are_together(x: Any, y: Any) -> bool:
    """Whether two arrays are of one library and on one device, so that they can be added up there."""
    return type(x) is type(y) and getattr(x, "device", None) == getattr(y, "device", None)


def _no_kernel(function: str, name: str) -> Exception:
    return NotImplementedError(
        f"{function}: {name} is on a GPU, for which there is no kernel of this yet; "
        "copy it to the CPU, by .cpu() or .get()"
    )


def dtype_name(dtype: np.dtype[Any]) -> str:
    """A numpy dtype's name."""
    return _NAMES.get(dtype.char) or dtype.name


def describe(function: str, name: str, x: Any) -> Described:
    """x as the core reads it; raises TypeError or ValueError in one sentence."""
    if type(x) is np.ndarray:
        array = x
    elif is_tensor(x):
        return _describe_tensor(function, name, x)
    else:
        array = _as_array(function, name, x)
    dtype = array.dtype
    if dtype_name(dtype) not in DTYPES:
        raise TypeError(f"{function}: {name} must hold real numbers but has dtype {dtype}")
    if not dtype.isnative:
        raise TypeError(f"{function}: {name} must have native byte order but has dtype {dtype.str}")
    check_shape(function, name, array.shape)
    return array


def _as_array(function: str, name: str, x: Any) -> np.ndarray[Any, Any]:
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(
            f"{function}: {name} is a masked array, whose mask would be ignored; fill or drop first"
        )
    if x is None or isinstance(x, (str, bytes, Mapping)):
        raise TypeError(f"{function}: {name} must be a two-dimensional array but is {type(x).__name__}")
    if is_on_device(x):
        raise _no_kernel(function, name)
    try:
        return np.asarray(x)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{function}: {name} must be a two-dimensional array but is {type(x).__name__} ({error})"
        ) from None


def _describe_tensor(function: str, name: str, x: Any) -> Described:
    if is_on_device(x):
        raise _no_kernel(function, name)
    if x.device.type != "cpu":
        raise TypeError(f"{function}: {name} is on {x.device} but gramless reads the CPU's and CUDA's memory")
    if str(x.layout) != "torch.strided":
        raise TypeError(f"{function}: {name} must be a dense tensor but has layout {x.layout}")
    dtype = str(x.dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise TypeError(f"{function}: {name} must hold real numbers but has dtype {x.dtype}")
    if x.is_neg():
        raise TypeError(f"{function}: {name} is a lazily negated view; call .resolve_neg() first")
    check_shape(function, name, tuple(x.shape))
    check_storage(function, name, x)
    size = x.element_size()
    rows, cols = x.shape
    row_stride, col_stride = x.stride()
    view = TensorView((x.data_ptr(), rows, cols, row_stride * size, col_stride * size, dtype))
    view.held = x
    return view


def check_storage(function: str, name: str, x: Any) -> None:
    """Raises TypeError unless the memory of all elements of a dense tensor, which is not empty, is there.

    Tensors of torch.func and of tracing have none, nor have those whose storage was resized, as in sharding.
    """
    last = sum((length - 1) * stride for length, stride in zip(x.shape, x.stride(), strict=True))
    try:
        storage = x.untyped_storage()
        bytes_there = 0 if storage.device.type == "meta" else storage.nbytes()
    except (RuntimeError, NotImplementedError):
        bytes_there = 0
    if bytes_there < (x.storage_offset() + last + 1) * x.element_size():
        raise TypeError(
            f"{function}: {name} is a {type(x).__name__} without storage, as in tracing, in a transform of "
            "torch.func or after its memory was freed; pass a tensor that holds its values"
        )


def check_shape(function: str, name: str, shape: tuple[int, ...]) -> None:
    """Raises ValueError unless there are two dimensions and something in them."""
    if len(shape) != 2:
        raise ValueError(f"{function}: {name} must have 2 dimensions (rows, features) but has shape {shape}")
    if 0 in shape:
        raise ValueError(f"{function}: {name} is empty, its shape is {shape}")


def rows_of(described: Described) -> int:
    """The number of rows of what `describe` returned."""
    return int(described[1]) if isinstance(described, tuple) else int(described.shape[0])


def columns_of(described: Described) -> int:
    """The number of columns of what `describe` returned."""
    return int(described[2]) if isinstance(described, tuple) else int(described.shape[1])


def check_columns(function: str, name_x: str, x: Described, name_y: str, y: Described) -> None:
    """Raises ValueError unless both have the same number of columns."""
    if columns_of(x) != columns_of(y):
        raise ValueError(f"{function}: {name_x} has {columns_of(x)} columns but {name_y} has {columns_of(y)}")


def check_rows(function: str, name_x: str, x: Described, name_y: str, y: Described) -> None:
    """Raises ValueError unless both have the same number of rows."""
    if rows_of(x) != rows_of(y):
        raise ValueError(f"{function}: {name_x} has {rows_of(x)} rows but {name_y} has {rows_of(y)}")


def check_enough_rows(function: str, name: str, x: Described, estimator: str) -> None:
    """Raises ValueError where the estimator is not defined for so few rows."""
    needed = 4 if estimator == "unbiased" else 2
    if rows_of(x) < needed:
        raise ValueError(
            f"{function}: the {estimator} estimator needs at least {needed} rows but {name} has {rows_of(x)}"
        )


def describe_layers(function: str, name: str, layers: Any) -> list[Described]:
    """A sequence of layers, each described, all with the same number of rows."""
    layers = as_layers(function, name, layers)
    described = [describe(function, f"{name}[{i}]", layer) for i, layer in enumerate(layers)]
    for i, layer in enumerate(described):
        check_rows(function, f"{name}[0]", described[0], f"{name}[{i}]", layer)
    return described


def as_layers(function: str, name: str, layers: Any) -> list[Any]:
    """The entries of a sequence of layers, each looked up once, for a sequence may make them anew each time.

    Raises TypeError or ValueError unless it is a sequence with at least one entry.
    """
    if isinstance(layers, (str, bytes, Mapping)) or not (
        isinstance(layers, Sequence) or getattr(layers, "ndim", 0) > 0
    ):
        raise TypeError(f"{function}: {name} must be a sequence of arrays but is {type(layers).__name__}")
    if getattr(layers, "ndim", 3) != 3:
        raise ValueError(
            f"{function}: {name} must be a sequence of two-dimensional arrays "
            f"but is one array of shape {tuple(layers.shape)}"
        )
    if len(layers) == 0:
        raise ValueError(f"{function}: {name} has no layers")
    return list(layers)


def computes_in_float64(described: Sequence[Described]) -> bool:
    """Whether the core computes these inputs in float64: any is float64 or too wide an integer."""
    return any((d[5] if isinstance(d, tuple) else dtype_name(d.dtype)) in FLOAT64 for d in described)


def wrap(value: Any, like: Any, described: Sequence[Described]) -> Any:
    """value as the user gets it: a tensor for tensors, itself otherwise."""
    if not is_tensor(like):
        return value
    torch = sys.modules["torch"]
    return torch.as_tensor(value, dtype=torch.float64 if computes_in_float64(described) else torch.float32)

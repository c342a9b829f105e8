"""Functions for arrays of any library."""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

DTYPES = frozenset(
    ["float32", "float64", "float16", "bfloat16", "bool"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)
TENSOR_DEVICES = frozenset(["cuda"])  # of tensors that the CUDA half reads; tests add others
tensors: Any = None  # torch's library of arrays, once gramless.torch is loaded
_DLPACK_CUDA = (2, 13)  # DLPack's device types: device memory, managed memory
FLOAT64 = frozenset(["float64", "int32", "int64", "uint32", "uint64"])


def is_tensor(x: object) -> bool:
    """Whether x is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def is_on_device(x: object) -> bool:
    """Whether the CUDA half computes with x: a tensor on a GPU, or an array that has a device address."""
    if type(x) is np.ndarray or isinstance(x, type):
        return False
    if is_tensor(x):
        return x.device.type in TENSOR_DEVICES  # type: ignore[attr-defined]
    if hasattr(x, "__cuda_array_interface__"):
        return True
    try:
        return hasattr(x, "__dlpack_device__") and int(x.__dlpack_device__()[0]) in _DLPACK_CUDA
    except Exception:  # deleted or traced arrays: reading them raises the error
        return False


def to_host(x: Any) -> np.ndarray[Any, Any]:
    """The values of an array as a numpy array; waits for a device until they are computed."""
    if is_tensor(x):
        return np.asarray(x.detach().cpu().resolve_conj().resolve_neg().numpy())
    on_device = hasattr(type(x), "get") and hasattr(type(x), "device")  # tables have `get` but no `device`
    return np.asarray(x.get() if on_device else x)


def wide_on_host(x: Any) -> Floats:
    """The values of an array in the CPU's memory in float64."""
    return np.asarray(to_host(x.double() if is_tensor(x) else x), np.float64)


def without_tensors(function: str, name: str, x: Any) -> Any:
    """A tensor's values as numpy's, whether it needs gradients or not; anything else as it is.

    Raises TypeError for a tensor without values, also in a list, and for one that holds no real numbers.
    """
    if isinstance(x, (list, tuple)):
        for i, row in enumerate(x):
            check_copyable(function, f"{name}[{i}]", row)
    if not is_tensor(x):
        return x
    check_copyable(function, name, x)
    dtype = str(x.dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise TypeError(f"{function}: {name} must hold real numbers but has dtype {x.dtype}")
    return to_host(x.float() if dtype == "bfloat16" else x)


def are_together(x: Any, y: Any) -> bool:
    """Whether two arrays are of one library and on one device, so that they can be added."""
    return type(x) is type(y) and getattr(x, "device", None) == getattr(y, "device", None)


def check_dense(function: str, name: str, x: Any) -> None:
    """Raises TypeError for a nested tensor, a masked tensor, and a lazy parameter without a shape."""
    if x.is_nested:
        raise TypeError(f"{function}: {name} must be a dense tensor but is a nested one")
    if type(x).__name__ == "MaskedTensor":
        raise TypeError(
            f"{function}: {name} is a masked tensor, whose mask would be ignored; fill or drop its masked "
            "values first"
        )
    try:
        _ = x.shape
    except RuntimeError:
        sentence = "is a parameter without values until its module has run once"
        raise TypeError(f"{function}: {name} {sentence}") from None


def check_shaped(function: str, name: str, x: Any) -> None:
    """Raises TypeError if x is a tensor without a shape; x may be any object."""
    if is_tensor(x):
        check_dense(function, name, x)


def check_copyable(function: str, name: str, x: Any) -> None:
    """Raises TypeError for a tensor whose values cannot be copied to numpy."""
    if is_tensor(x):
        check_dense(function, name, x)
        if str(x.layout) != "torch.strided":
            raise TypeError(sparse_sentence(function, name, x))
        check_storage(function, name, x)


def sparse_sentence(function: str, name: str, x: Any) -> str:
    """The error for a tensor whose layout is not strided."""
    return f"{function}: {name} must be a dense tensor but has layout {x.layout}; pass {name}.to_dense()"


def check_storage(function: str, name: str, x: Any) -> None:
    """Raises TypeError unless the storage of a dense, non-empty tensor holds all of its elements.

    A tensor has no storage in transforms of torch.func, in tracing, and after sharding resized it to 0.
    """
    check_dense(function, name, x)
    if not holds_elements(x) or x.untyped_storage().device.type == "meta":
        raise TypeError(
            f"{function}: {name} is a {type(x).__name__} without storage, as in tracing, in a transform of "
            "torch.func or after its memory was freed; pass a tensor that holds its values"
        )


def holds_elements(x: Any) -> bool:
    """Whether the storage of a dense, non-empty tensor reaches its last element."""
    try:
        there = x.untyped_storage().nbytes()
    except (RuntimeError, NotImplementedError):
        return False
    if x._is_zerotensor():  # a tangent that is known to be 0 has a size and a null pointer
        return False
    last = x.numel() - 1
    if not x.is_contiguous():
        last = sum((length - 1) * stride for length, stride in zip(x.shape, x.stride(), strict=True))
    return bool(there >= (x.storage_offset() + last + 1) * x.element_size())

"""torch as the CUDA half sees it: addresses, streams and empty tensors. See `gramless._arrays.frameworks`."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from .. import _arrays


def on_device(x: Tensor) -> bool:
    """Whether the CUDA half is to compute with x."""
    return ("cpu" if x.is_cpu else x.device.type) in _arrays.TENSOR_DEVICES


class TorchFramework:
    """Tensors of a device the kernels can read."""

    def owns(self, x: object) -> bool:
        return isinstance(x, Tensor) and on_device(x)

    def device(self, x: Tensor) -> int:
        return x.device.index or 0

    def stream(self, device: int) -> int:
        return int(torch.cuda.current_stream(device).cuda_stream)

    def address(self, x: Tensor) -> int:
        return x.data_ptr()

    def dtype(self, x: Tensor) -> str:
        return str(x.dtype).removeprefix("torch.")

    def strides(self, x: Tensor) -> tuple[int, ...]:
        return tuple(stride * x.element_size() for stride in x.stride())

    def itemsize(self, x: Tensor) -> int:
        return x.element_size()

    def _on(self, device: int) -> torch.device:
        return torch.device("cuda", device)

    def empty(self, shape: tuple[int, ...], dtype: str, device: int) -> Tensor:
        return torch.empty(shape, dtype=getattr(torch, dtype), device=self._on(device))

    def zeros(self, shape: tuple[int, ...], dtype: str, device: int) -> Tensor:
        return torch.zeros(shape, dtype=getattr(torch, dtype), device=self._on(device))

    def arange(self, count: int, device: int) -> Tensor:
        return torch.arange(count, dtype=torch.int32, device=self._on(device))

    def upload(self, values: npt.NDArray[Any], device: int) -> Tensor:
        return torch.from_numpy(values).to(self._on(device))

    def cast(self, x: Tensor, dtype: str) -> Tensor:
        return x.to(getattr(torch, dtype))

    def where(self, which: Tensor, x: Any, y: Tensor) -> Tensor:
        return torch.where(which, x, y)

    def softplus(self, x: Tensor) -> Tensor:
        return torch.nn.functional.softplus(x, threshold=50)

    def sigmoid(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    def flatnonzero(self, x: Tensor) -> Tensor:
        return x.nonzero()[:, 0]

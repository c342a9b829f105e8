from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]
_Kernel = tuple[str, float | None, float, bool, int | None, tuple[float | None, ...]]
_Limit = _Floats | None
_Limits = float | tuple[_Limit, _Limit] | tuple[_Limit, _Limit, _Limit, _Limit] | None
_Guide = tuple[Sequence[Any], Sequence[Any]] | None
_Values = tuple[_Floats, _Floats, _Floats, _Floats, _Floats, _Floats, _Floats, _Floats, npt.NDArray[np.int32]]
_Progress = Callable[[int, int], object] | None

__version__: str

def hsic_matrix(
    xs: Sequence[Any],
    ys: Sequence[Any],
    kernels_x: Sequence[_Kernel],
    kernels_y: Sequence[_Kernel],
    estimator: str,
    space: str,
    progress: _Progress,
    /,
) -> _Values: ...
def hsic_pair(
    x: Any, y: Any, kernel_x: _Kernel, kernel_y: _Kernel, estimator: str, space: str, /
) -> tuple[float, float, float, int, int, float, float]: ...
def permuted_hsic(
    x: Any,
    y: Any,
    kernel_x: _Kernel,
    kernel_y: _Kernel,
    permutations: npt.NDArray[np.int64],
    estimator: str,
    progress: _Progress,
    /,
) -> _Floats: ...
def jackknife_hsic(
    x: Any,
    y: Any,
    kernel_x: _Kernel,
    kernel_y: _Kernel,
    order: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    estimator: str,
    /,
) -> tuple[_Floats, _Floats, _Floats]: ...

class StackedRows: ...

def stacked_rows(first: Any, second: Any, /) -> StackedRows | None: ...
def median_distance(x: Any, include_diagonal: bool, progress: _Progress, /) -> float: ...
def median_apart(x: Any, lower: bool, /) -> float: ...
def hsic_forward(
    xs: Sequence[Any],
    ys: Sequence[Any],
    kernels_x: Sequence[_Kernel],
    kernels_y: Sequence[_Kernel],
    estimator: str,
    /,
) -> tuple[_Values, _Floats]: ...
def hsic_backward(
    xs: Sequence[Any],
    ys: Sequence[Any],
    kernels_x: Sequence[_Kernel],
    kernels_y: Sequence[_Kernel],
    estimator: str,
    saved: _Floats,
    weights_xy: _Floats,
    weights_xx: _Floats,
    weights_yy: _Floats,
    grads: Sequence[Any],
    /,
) -> None: ...
def bandwidth(
    x: Any, kernel: _Kernel, in_float64: bool = False, progress: _Progress = None, name: str = "x"
) -> float: ...

class Sweep:
    def __init__(
        self,
        xs: Sequence[Any],
        ys: Sequence[Any],
        kernels_x: Sequence[_Kernel],
        kernels_y: Sequence[_Kernel],
        estimator: str,
        space: str,
        /,
    ) -> None: ...
    @property
    def parts(self) -> int: ...
    @property
    def sums_length(self) -> int: ...
    def add_part(self, part: int, sums: _Floats, progress: _Progress = None) -> None: ...
    def values(self, sums: _Floats, /) -> _Values: ...

def contrast_forward(
    anchors: Sequence[Any],
    keys: Sequence[Any],
    anchor_groups: npt.NDArray[np.int64] | None,
    key_groups: npt.NDArray[np.int64] | None,
    temperature: float,
    normalize: bool,
    kind: str,
    limits: _Limits,
    guide: _Guide,
    keep: bool,
    /,
) -> tuple[_Floats, _Floats | None, _Floats, ContrastPass | None]: ...

class ContrastPass:
    def backward(
        self,
        saved: _Floats,
        row_weights: _Floats,
        column_weights: _Floats | None,
        grads: Sequence[Any],
        /,
    ) -> float: ...

def contrast_backward(
    anchors: Sequence[Any],
    keys: Sequence[Any],
    anchor_groups: npt.NDArray[np.int64] | None,
    key_groups: npt.NDArray[np.int64] | None,
    temperature: float,
    normalize: bool,
    kind: str,
    limits: _Limits,
    guide: _Guide,
    saved: _Floats,
    row_weights: _Floats,
    column_weights: _Floats | None,
    grads: Sequence[Any],
    positives: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None,
    /,
) -> float: ...
def paired_cosines(x: Any, y: Any, in_float64: bool, /) -> npt.NDArray[Any]: ...
def contrast_limits(
    anchors: Sequence[Any],
    keys: Sequence[Any],
    anchor_groups: npt.NDArray[np.int64],
    key_groups: npt.NDArray[np.int64],
    normalize: bool,
    fraction: float,
    tie: float,
    of_keys: bool,
    easiest: bool,
    /,
) -> tuple[_Floats, _Floats]: ...
def distill_forward(
    arrays: Sequence[Any], temperatures: tuple[float, float], normalize: bool, /
) -> tuple[_Floats, _Floats]: ...
def distill_backward(
    arrays: Sequence[Any],
    temperatures: tuple[float, float],
    normalize: bool,
    saved: _Floats,
    weights: _Floats,
    grad: Any,
    /,
) -> float: ...
def sigmoid_pairs(
    arrays: tuple[Any, Any],
    scale_and_bias: tuple[float, float],
    normalize: bool,
    first_positive: int,
    weights: _Floats,
    grads: tuple[Any, Any],
    /,
) -> _Floats: ...
def nearest_neighbors(
    xs: Sequence[Any], k: int, with_cosines: bool, progress: _Progress, /
) -> list[tuple[npt.NDArray[np.int32] | None, _Floats | None]]: ...
def shared_neighbors(
    xs: Sequence[npt.NDArray[np.int32]], ys: Sequence[npt.NDArray[np.int32]], /
) -> npt.NDArray[np.int64]: ...
def backends() -> list[tuple[str, bool, bool]]: ...
def set_backend(name: str, /) -> None: ...
def num_threads() -> int: ...
def set_num_threads(count: int, /) -> None: ...
def workspace_limit() -> int: ...
def set_workspace_limit(bytes: int, /) -> None: ...

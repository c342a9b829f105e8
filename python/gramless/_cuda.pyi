from collections.abc import Callable, Sequence

_Place = tuple[int, int, Callable[[int], int]]
_Matrix = tuple[int, int, int, int, int, str]
_Kernel = tuple[str, float | None, float, bool, int | None, tuple[float | None, ...]]

_Distilled = tuple[_Matrix, _Matrix, _Matrix, _Matrix | None]

contrast_saved_arrays: int
distill_saved_arrays: int
architectures: str

def devices() -> tuple[int, int, list[tuple[str, int, int, int, str | None]], str]: ...
def hsic(
    place: _Place,
    x: _Matrix,
    y: _Matrix,
    kernel_x: _Kernel,
    kernel_y: _Kernel,
    estimator: str,
    allow_tf32: bool,
    row_sums: int,
    bandwidths: int,
    values: int,
    spreads: int,
    /,
) -> None: ...
def hsic_matrix(
    place: _Place,
    xs: Sequence[_Matrix],
    ys: Sequence[_Matrix],
    kernel_x: _Kernel,
    kernel_y: _Kernel,
    estimator: str,
    allow_tf32: bool,
    row_sums: int,
    bandwidths: int,
    values: int,
    own_values: int,
    /,
) -> None: ...
def hsic_grad(
    place: _Place,
    x: _Matrix,
    y: _Matrix,
    kernel_x: _Kernel,
    kernel_y: _Kernel,
    estimator: str,
    allow_tf32: bool,
    row_sums: int,
    bandwidths: int,
    weights: int,
    grad_x: int,
    grad_y: int,
    /,
) -> None: ...
def median_squared_distance(
    place: _Place, x: _Matrix, include_diagonal: bool, allow_tf32: bool, median: int, /
) -> None: ...
def contrast_forward(
    place: _Place,
    anchors: Sequence[_Matrix],
    keys: Sequence[_Matrix],
    anchor_groups: int,
    key_groups: int,
    temperature: float,
    device_temperature: int,
    normalize: bool,
    limit: float,
    hardest: float,
    tie: float,
    kind: str,
    keys_are_anchors: bool,
    losses: int,
    saved: int,
    mean: int,
    /,
) -> None: ...
def contrast_backward(
    place: _Place,
    anchors: Sequence[_Matrix],
    keys: Sequence[_Matrix],
    anchor_groups: int,
    key_groups: int,
    temperature: float,
    device_temperature: int,
    normalize: bool,
    limit: float,
    hardest: float,
    tie: float,
    kind: str,
    keys_are_anchors: bool,
    saved: int,
    weights: int,
    scale_of_mean: int,
    grads: Sequence[int],
    grad_temperature: int,
    /,
) -> None: ...
def distill_forward(
    place: _Place,
    arrays: _Distilled,
    temperature: float,
    device_temperature: int,
    teacher_temperature: float,
    normalize: bool,
    losses: int,
    saved: int,
    mean: int,
    /,
) -> None: ...
def distill_backward(
    place: _Place,
    arrays: _Distilled,
    temperature: float,
    device_temperature: int,
    teacher_temperature: float,
    normalize: bool,
    saved: int,
    weights: int,
    scale_of_mean: int,
    grad: int,
    grad_temperature: int,
    /,
) -> None: ...

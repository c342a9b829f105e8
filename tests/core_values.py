"""HSIC by the CPU core, in the space that a test chooses."""

import numpy as np
from gramless import _core
from gramless._alignment import times_power
from gramless._arrays.libraries import library_of
from gramless._backends import cpu_backend
from gramless._backends.values import HsicValues
from gramless.kernels import encode


def hsic_values(xs, ys, kernels_x, kernels_y, estimator, space="auto"):
    """HSIC of layers, each with a kernel; ys=None: xs with itself. space: "gram", "features" or "auto"."""
    library = library_of("hsic_values", [("xs", x) for x in xs])
    x, y = ([x if library.rank else np.asarray(x) for x in side] for side in (xs, ys or ()))
    codes = [*map(encode, kernels_x)], [*map(encode, kernels_y)]
    views = map(cpu_backend(library).views, (x, y))
    return HsicValues.of_core(_core.hsic_matrix(*views, *codes, estimator, space, None), len(x), not y)


def of_data(values):
    """xy, xx, yy in the units of the data."""
    own = (values.xx, values.exponent_x), (values.yy, values.exponent_y)
    return values.xy_of_data(), *(times_power(hsic, 2 * exponent) for hsic, exponent in own)

"""All sums of the CPU core, in the space that a test asks for."""

import numpy as np
from gramless._arrays.namespaces import library_of
from gramless._backends import cpu_backend
from gramless.kernels import encode


def hsic_values(xs, ys, kernels_x, kernels_y, estimator, space="auto"):
    """`Cpu.layer_values` of layers, each with a kernel; ys=None: xs with itself."""
    library = library_of("hsic_values", [("xs", x) for x in xs])
    sides = [[x if library.rank else np.asarray(x) for x in side] for side in (xs, ys or ())]
    codes = [*map(encode, kernels_x)], [*map(encode, kernels_y)]
    return cpu_backend(library).layer_values(*sides, codes, estimator, space)

"""One matrix of values in every memory layout of an array."""

from __future__ import annotations

import numpy as np


def c_order(x):
    return np.ascontiguousarray(x)


def fortran_order(x):
    return np.asfortranarray(x)


def every_second_row(x):
    return np.repeat(x, 2, axis=0)[::2]


def every_third_column(x):
    return np.repeat(x, 3, axis=1)[:, ::3]


def every_second_row_of_fortran(x):
    return np.asfortranarray(np.repeat(x, 2, axis=0))[::2]


def negative_rows(x):
    return np.ascontiguousarray(x[::-1])[::-1]


def negative_columns(x):
    return np.ascontiguousarray(x[:, ::-1])[:, ::-1]


def negative_both_fortran(x):
    return np.asfortranarray(x[::-1, ::-1])[::-1, ::-1]


def sliced(x):
    n, d = x.shape
    larger = np.full((n + 5, d + 7), np.nan, x.dtype)  # surrounding memory must not enter the result
    larger[2 : 2 + n, 3 : 3 + d] = x
    return larger[2 : 2 + n, 3 : 3 + d]


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def misaligned(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)
    moved = raw[1:].view(x.dtype).reshape(x.shape)
    moved[...] = x
    return moved


def misaligned_fortran(x):
    return misaligned(np.ascontiguousarray(x.T)).T


def subclass(x):
    return x.view(type("Subclass", (np.ndarray,), {}))


def nested_lists(x):
    return x.tolist()


NUMPY_LAYOUTS = [
    c_order,
    fortran_order,
    every_second_row,
    every_third_column,
    every_second_row_of_fortran,
    negative_rows,
    negative_columns,
    negative_both_fortran,
    sliced,
    read_only,
    misaligned,
    misaligned_fortran,
    subclass,
]


def torch_layouts(torch):
    """The same for tensors, which have no negative strides."""

    def tensor(x):
        return torch.tensor(x)

    def transposed(x):
        return torch.tensor(np.ascontiguousarray(x.T)).T

    def narrowed(x):
        n, d = x.shape
        larger = torch.full((n + 3, d + 4), torch.nan, dtype=torch.tensor(x).dtype)
        larger[1 : 1 + n, 2 : 2 + d] = torch.tensor(x)
        return larger[1 : 1 + n, 2 : 2 + d]

    def requires_grad(x):
        return torch.tensor(x, requires_grad=True)

    return [tensor, transposed, narrowed, requires_grad]

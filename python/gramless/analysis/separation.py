"""The distance between classes in a representation, from cosine distances."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays
from .._arrays.frames import check_row_labels
from .._losses import OfRows, as_array, as_labels
from ._checks import as_numbers
from ._units import unit_rows

CHUNK = 4096  # rows that are in float64 at a time
ROUNDING = 1e-30  # the rounding of a squared difference of unit rows


def class_separation(x: Any, labels: Any) -> float:
    """1 - (mean cosine distance within classes) / (mean cosine distance overall), of the rows of x (n, d).

    R^2 = 1 - d_within / d_total
    d_within = mean_k mean_{m, n in class k} (1 - cos(x_m, x_n))
    d_total = mean_{j, k} mean_{m in class j, n in class k} (1 - cos(x_m, x_n))

    Every class has the same weight, and pairs of a row with itself are included, as in the paper. With unit
    rows u, the means m_k of each class and their mean m, d_within is the mean of |u - m_k|^2, and d_total
    exceeds it by the mean of |m_k - m|^2, which takes O(n d) time and no n x n memory. The length of a row
    does not matter. An offset of all rows that is r times as large as their distances costs log10(r) of the
    16 digits. A row of zeros has cosine 0 with every row.

    Parameters
    ----------
    x : array (n, d)
        One row for each example.
    labels : array (n,)
        The class of each row: integers or strings.

    Returns
    -------
    float
        R^2, from 0 to 1: 1 if all rows of a class have the same direction. NaN in x gives NaN.

    Raises
    ------
    ValueError
        If the number of labels is not n, or all rows have the same direction.
    TypeError
        If x does not hold real numbers.

    References
    ----------
    Kornblith, Chen, Lee and Norouzi 2021, arXiv:2010.16402.

    Examples
    --------
    >>> round(class_separation([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]], ["a", "a", "b"]), 3)
    0.997
    """
    check_row_labels("class_separation", [("x", x), ("labels", labels)])
    rows = as_numbers("class_separation", "x", x)
    if rows.ndim != 2 or rows.size == 0:
        raise ValueError(f"class_separation: x must have rows and features but has shape {rows.shape}")
    classes, places = np.unique(_as_classes(labels), return_inverse=True)
    if places.shape != (len(rows),):
        raise ValueError(f"class_separation: x has {len(rows)} rows but labels have shape {places.shape}")
    counts = np.bincount(places)
    # Relative to the first unit row, similar rows keep the digits in which they differ.
    pivot = unit_rows(np.asarray(rows[:1], np.float64))

    def chunks() -> Iterator[tuple[Any, Any, Any]]:
        """For some rows at a time: their classes, their unit rows less the pivot, and which are zero."""
        for start in range(0, len(rows), CHUNK):
            units = unit_rows(np.asarray(rows[start : start + CHUNK], np.float64))
            yield places[start : start + CHUNK], units - pivot, ~units.any(axis=1)

    means = np.zeros((len(classes), rows.shape[1]))
    for own, units, _ in chunks():
        np.add.at(means, own, units)
    means /= counts[:, None]
    within = 0.0
    for own, units, zero in chunks():
        apart = units - means[own]
        within += float(np.sum((np.einsum("ij,ij->i", apart, apart) + zero) / counts[own])) / len(classes)
    means -= means.mean(axis=0)
    between = float(np.sum(means**2)) / len(classes)
    if within + between <= ROUNDING:
        raise ValueError("class_separation: all rows point the same way, so the mean cosine distance is 0")
    return between / (within + between)


def _as_classes(labels: Any) -> npt.NDArray[Any]:
    """Labels of any dtype that has an order; if a list holds text, all entries become text."""
    labels = _arrays.without_tensors("class_separation", "labels", labels)
    array = as_array("class_separation", "labels", labels, "integers or text")
    return as_labels(OfRows("class_separation", len(array)), labels) if array.dtype.kind in "US" else array

"""The dominant direction of a representation, and the examples that carry it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._counts import as_integer
from ._checks import Floats, as_matrix
from ._units import in_own_units

SMALL = 512  # sides up to this are decomposed exactly


@dataclass(frozen=True, eq=False)
class DominantComponent:
    """The first principal component of rows x (n, d).

    Attributes
    ----------
    fraction : float
        The fraction of the variance of x that it explains, from 0 to 1.
    direction : ndarray of float64
        (d,), of length 1; its entry of largest magnitude is positive.
    scores : ndarray of float64
        (n,), the products of the centred rows with the direction, in the unit of x.
    """

    fraction: float
    direction: Floats
    scores: Floats

    def share_of(self, examples: int) -> float:
        """The share of the component's variance that the examples with scores of largest magnitude carry.

        Parameters
        ----------
        examples : int
            The number of examples, from 0 to n.

        Returns
        -------
        float
            From 0 to 1.

        Raises
        ------
        ValueError
            If examples is below 0 or above n.
        """
        count, n = as_integer("DominantComponent.share_of", "examples", examples), len(self.scores)
        if not 0 <= count <= n:
            raise ValueError(f"DominantComponent.share_of: examples must be from 0 to {n} but is {count}")
        energy = np.sort(in_own_units(self.scores)[0] ** 2)[::-1]
        return float(energy[:count].sum() / energy.sum())

    def remove(self, x: Any) -> Floats:
        """x without the component. The CKA of these rows shows whether a block depends on the component.

        Parameters
        ----------
        x : array (n, d)
            The rows of which this is the component.

        Returns
        -------
        ndarray of float64, (n, d)
            x less the component's part of each row.

        Raises
        ------
        ValueError
            If x has another shape.
        """
        rows = as_matrix("DominantComponent.remove", "x", x)
        if rows.shape != (len(self.scores), len(self.direction)):
            raise ValueError(
                f"DominantComponent.remove: x has shape {rows.shape} but the component was computed from "
                f"shape {(len(self.scores), len(self.direction))}"
            )
        return rows - np.outer(self.scores, self.direction)

    def __repr__(self) -> str:
        return f"DominantComponent({self.fraction:.1%} of the variance)"


def dominant_component(x: Any) -> DominantComponent:
    """The first principal component of a layer's rows x (n, d): what it explains, and from which examples.

    In layers that form a block of a CKA matrix, the first component often explains most of the variance, is
    similar across these layers, and is carried by few examples (`share_of`). Without it (`remove`) the block
    disappears. Needs neither n x n memory nor, beyond 512 features, d x d memory.

    Parameters
    ----------
    x : array (n, d)
        One row for each example, at least 2.

    Returns
    -------
    DominantComponent
        Its fraction of the variance, its direction (d,) and its scores (n,).

    Raises
    ------
    ValueError
        If x has fewer than 2 rows, NaN, infinity or no variance.

    References
    ----------
    Nguyen, Raghu and Kornblith 2021, arXiv:2010.15327; 2022, arXiv:2202.07184.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((100, 5))
    >>> x[:3] += 40
    >>> component = dominant_component(x)
    >>> component, round(component.share_of(3), 2)
    (DominantComponent(98.3% of the variance), 0.97)
    """
    rows = as_matrix("dominant_component", "x", x)
    if len(rows) < 2 or not np.isfinite(rows).all():
        raise ValueError(
            f"dominant_component: x must be finite and have at least 2 rows; its shape is {rows.shape}"
        )
    centred, unit = in_own_units(rows)
    centred -= centred[0].copy()  # columns of one value become exactly 0
    centred -= centred.mean(axis=0)
    centred, unit_of_centred = in_own_units(centred)
    total = float(np.einsum("ij,ij->", centred, centred))
    if total <= 0:
        raise ValueError("dominant_component: x has no variance, because all of its rows are equal")
    direction = _first_direction(centred / np.sqrt(total))
    direction *= np.sign(direction[np.argmax(np.abs(direction))])
    scores = centred @ direction
    fraction = float(scores @ scores) / total
    return DominantComponent(fraction, direction, np.ldexp(scores, unit + unit_of_centred))


def _first_direction(centred: Floats) -> Floats:
    """The first right singular vector: exactly for a small side, else by subspace iteration."""
    if min(centred.shape) <= SMALL:
        if centred.shape[1] <= SMALL:
            return np.asarray(np.linalg.eigh(centred.T @ centred)[1][:, -1])
        left = np.linalg.eigh(centred @ centred.T)[1][:, -1]
        return np.asarray(centred.T @ left / np.linalg.norm(centred.T @ left))
    basis = np.random.default_rng(0).standard_normal((centred.shape[1], 16))
    before = -1.0
    for _ in range(500):
        basis, _ = np.linalg.qr(centred.T @ (centred @ basis))
        projected = centred @ basis
        values, vectors = np.linalg.eigh(projected.T @ projected)
        if abs(values[-1] - before) <= 1e-13 * values[-1]:
            break
        before = float(values[-1])
    return np.asarray(basis @ vectors[:, -1])

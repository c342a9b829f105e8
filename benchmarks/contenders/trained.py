"""A loss whose backward has run. The module imports no library that is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..problems import Problem


@dataclass(frozen=True)
class Trained:
    """A loss and its gradients. As an array: the loss, then the gradients times the number of rows.

    The conversion to an array happens only for checks, so that time and memory are of forward and backward.
    """

    problem: Problem
    loss: Any
    grads: Sequence[Any]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[np.float64]:
        grads = [self.problem.n * np.asarray(grad, dtype=np.float64).ravel() for grad in self.grads]
        return np.concatenate([[self.loss.item()], *grads])

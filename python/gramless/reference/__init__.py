"""The obvious n x n version of every function, in float64 numpy: documentation, oracle and rival.

Written to be read beside the papers, so it stores every Gram matrix and saves nothing. It needs numpy and the
kernel objects only (scipy for `method="gamma"`), never the compiled core. Signatures are those of gramless;
`median_rows` and `progress` are accepted and ignored, for here every median is exact and nothing is shown.
"""

from .gram import gram, median_distance
from .hsic import cka, cka_matrix, hsic, hsic_matrix
from .independence import independence_test
from .minibatch import MinibatchCKA

__all__ = [
    "MinibatchCKA",
    "cka",
    "cka_matrix",
    "gram",
    "hsic",
    "hsic_matrix",
    "independence_test",
    "median_distance",
]

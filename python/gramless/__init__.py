"""CKA, HSIC and other reductions over the pairwise-similarity matrix of a batch, without the matrix.

Every pair of rows has a dot product, the dot product becomes a kernel value, and the n x n kernel
values are folded into a small answer, tile by tile. `gramless.reference` has the obvious n x n version of
everything.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from . import reference
from ._arrays.cuda_status import CudaDevice, CudaStatus, cuda_status
from ._core import __version__
from ._evaluate import value_and_grad
from ._record import environment
from ._runtime import (
    backends,
    get_num_threads,
    get_workspace_limit,
    set_num_threads,
    set_workspace_limit,
)
from .contrastive import dcl, nt_xent, sup_con
from .distillation import similarity_distillation
from .estimates import Estimate, estimate
from .guided import guided_info_nce
from .hsic import cka, hsic, median_distance
from .independence import independence_test
from .info_nce import info_nce, row_log_sum_exp
from .kernels import RBF, Cosine, Distance, Laplace, Linear, Polynomial
from .matrices import cka_matrix, hsic_matrix, layer_matrix
from .measures import alignment, participation_ratio, uniformity, vendi_score
from .minibatch import MinibatchCKA
from .moco import moco
from .neighbor_test import MutualKnnResult, mutual_knn_test
from .neighbors import cknna, mutual_knn, mutual_knn_matrix
from .results import LayerMatrix
from .rsa import rsa, rsa_matrix
from .sigmoid import siglip
from .two_samples import TwoSampleResult, mmd, two_sample_test

if TYPE_CHECKING:
    from . import analysis, compat, plot
    from . import jax as jax
    from . import torch as torch

__all__ = [
    "RBF",
    "Cosine",
    "CudaDevice",
    "CudaStatus",
    "Distance",
    "Estimate",
    "Laplace",
    "LayerMatrix",
    "Linear",
    "MinibatchCKA",
    "MutualKnnResult",
    "Polynomial",
    "TwoSampleResult",
    "__version__",
    "alignment",
    "analysis",
    "backends",
    "cka",
    "cka_matrix",
    "cknna",
    "compat",
    "cuda_status",
    "dcl",
    "environment",
    "estimate",
    "get_num_threads",
    "get_workspace_limit",
    "guided_info_nce",
    "hsic",
    "hsic_matrix",
    "independence_test",
    "info_nce",
    "layer_matrix",
    "median_distance",
    "mmd",
    "moco",
    "mutual_knn",
    "mutual_knn_matrix",
    "mutual_knn_test",
    "nt_xent",
    "participation_ratio",
    "plot",
    "reference",
    "row_log_sum_exp",
    "rsa",
    "rsa_matrix",
    "set_num_threads",
    "set_workspace_limit",
    "siglip",
    "similarity_distillation",
    "sup_con",
    "two_sample_test",
    "uniformity",
    "value_and_grad",
    "vendi_score",
]


_OF_PACKAGES = ("jax", "torch")  # modules by the name of what they need, which stay out of import *


def __getattr__(name: str) -> Any:
    if name in ("analysis", "compat", "plot", *_OF_PACKAGES):  # loaded when used
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module 'gramless' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in _OF_PACKAGES if find_spec(name) is not None)])

"""CKA, HSIC and other reductions over the pairwise-similarity matrix of a batch, without the matrix.

Every pair of rows has a dot product, a kernel function turns the dot product into a kernel value, and the
n x n kernel values are reduced tile by tile to a small result. `gramless.reference` has the direct n x n
version of every function.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from . import _distance_kernels, _product_kernels, reference
from . import contrastive as _contrastive
from . import distillation as _distillation
from . import estimates as _estimates
from . import guided as _guided
from . import hsic as _hsic
from . import independence as _independence
from . import info_nce as _info_nce
from . import matrices as _matrices
from . import measures as _measures
from . import minibatch as _minibatch
from . import moco as _moco
from . import neighbor_test as _neighbor_test
from . import neighbors as _neighbors
from . import results as _results
from . import rsa as _rsa
from . import sigmoid as _sigmoid
from . import two_samples as _two_samples
from ._arrays.cuda_status import CudaDevice, CudaStatus, cuda_status
from ._core import __version__
from ._distance_kernels import *
from ._evaluate import value_and_grad
from ._product_kernels import *
from ._record import environment
from ._runtime import (
    backends,
    get_num_threads,
    get_workspace_limit,
    set_num_threads,
    set_workspace_limit,
)
from .contrastive import *
from .distillation import *
from .estimates import *
from .guided import *
from .hsic import *
from .independence import *
from .info_nce import *
from .matrices import *
from .measures import *
from .minibatch import *
from .moco import *
from .neighbor_test import *
from .neighbors import *
from .results import *
from .rsa import *
from .sigmoid import *
from .two_samples import *

if TYPE_CHECKING:
    from . import analysis, compat, plot
    from . import jax as jax
    from . import torch as torch

__all__ = [
    "CudaDevice",
    "CudaStatus",
    "__version__",
    "analysis",
    "backends",
    "compat",
    "cuda_status",
    "environment",
    "get_num_threads",
    "get_workspace_limit",
    "plot",
    "reference",
    "set_num_threads",
    "set_workspace_limit",
    "value_and_grad",
]
__all__ += _distance_kernels.__all__
__all__ += _product_kernels.__all__
__all__ += _contrastive.__all__
__all__ += _distillation.__all__
__all__ += _estimates.__all__
__all__ += _guided.__all__
__all__ += _hsic.__all__
__all__ += _independence.__all__
__all__ += _info_nce.__all__
__all__ += _matrices.__all__
__all__ += _measures.__all__
__all__ += _minibatch.__all__
__all__ += _moco.__all__
__all__ += _neighbor_test.__all__
__all__ += _neighbors.__all__
__all__ += _results.__all__
__all__ += _rsa.__all__
__all__ += _sigmoid.__all__
__all__ += _two_samples.__all__


_OF_PACKAGES = ("jax", "torch")  # modules named after the package they need; `import *` leaves them out


def __getattr__(name: str) -> Any:
    if name in ("analysis", "compat", "plot", *_OF_PACKAGES):  # loaded when used
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module 'gramless' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in _OF_PACKAGES if find_spec(name) is not None)])

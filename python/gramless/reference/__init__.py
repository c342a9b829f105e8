"""The direct n x n version of every function, in float64 numpy: documentation, oracle and baseline.

The code follows the papers: it stores every Gram matrix and saves no work. It needs numpy and the kernel
objects only (scipy for p-values), not the compiled core. Signatures are those of gramless. A kernel's
`median_rows` and the argument `progress` are ignored, because every median is exact and nothing is displayed.
"""

from . import chance as _chance
from . import contrastive as _contrastive
from . import cross_modal as _cross_modal
from . import distillation as _distillation
from . import gram as _gram
from . import guided as _guided
from . import hsic as _hsic
from . import independence as _independence
from . import log_sums as _log_sums
from . import measures as _measures
from . import minibatch as _minibatch
from . import neighbors as _neighbors
from . import rsa as _rsa
from . import sigmoid as _sigmoid
from . import supervised as _supervised
from . import two_samples as _two_samples
from .chance import *
from .contrastive import *
from .cross_modal import *
from .distillation import *
from .gram import *
from .guided import *
from .hsic import *
from .independence import *
from .log_sums import *
from .measures import *
from .minibatch import *
from .neighbors import *
from .rsa import *
from .sigmoid import *
from .supervised import *
from .two_samples import *

__all__: list[str] = []
__all__ += _chance.__all__
__all__ += _contrastive.__all__
__all__ += _cross_modal.__all__
__all__ += _distillation.__all__
__all__ += _gram.__all__
__all__ += _guided.__all__
__all__ += _hsic.__all__
__all__ += _independence.__all__
__all__ += _log_sums.__all__
__all__ += _measures.__all__
__all__ += _minibatch.__all__
__all__ += _neighbors.__all__
__all__ += _rsa.__all__
__all__ += _sigmoid.__all__
__all__ += _supervised.__all__
__all__ += _two_samples.__all__

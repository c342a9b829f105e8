"""The description of valid kernels in error messages."""

import inspect

from gramless.kernels import FORMULAS

_CALLS = [
    f"{cls.__name__}({'...' if inspect.signature(cls).parameters else ''})" for cls in FORMULAS.values()
]
*_FIRST, _LAST = (f'"{name}"' for name in FORMULAS)
ALLOWED_KERNELS = ", ".join([*_CALLS, *_FIRST]) + f" or {_LAST}"

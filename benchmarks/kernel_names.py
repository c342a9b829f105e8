"""The names of CUDA kernels, as compilers, profilers and sanitizers write them and as the sources do."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"gramless::cuda::(?:\(anonymous namespace\)::|<unnamed>::|_GLOBAL__N__\w+::)?(\w+)")
_MANGLED = "8gramless4cuda"


def kernel_name(name: str) -> str | None:
    """The kernel's name without namespaces and template arguments; None if it is not a kernel of gramless.

    >>> kernel_name("void gramless::cuda::(anonymous namespace)::sum_tiles<gramless::cuda::HalfOperand>(int)")
    'sum_tiles'
    >>> kernel_name("_ZN8gramless4cuda15_GLOBAL__N__a_b9sum_tilesINS0_11HalfOperandEEEvi")
    'sum_tiles'
    """
    if found := _PLAIN.search(name):
        return found[1]
    rest = name.partition(_MANGLED)[2]
    while digits := re.match(r"\d+", rest):
        length, rest = int(digits[0]), rest[digits.end() :]
        word, rest = rest[:length], rest[length:]
        if not word.startswith("_GLOBAL__N"):
            return word
    return None

"""Paragraphs that several public docstrings share, inserted where the docstring has their name in braces."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from typing import TypeVar

from .kernels import KERNEL_NAMES

T = TypeVar("T", bound=Callable[..., object])

_ARRAYS = """
numpy arrays of any layout and real dtype, memory-mapped ones included, DataFrames of pandas and polars,
torch tensors, or arrays of a GPU, such as cupy's, in a floating-point dtype; read in place. They are
computed in float64 if either is float64 or a wide integer, else in float32"""
SHARED = {
    "similarity_arrays": f"""{_ARRAYS}, or where that has no digits in float64.""",
    "loss_arrays": f"""{_ARRAYS}.""",
    "kernel": f"""
kernel : a kernel, such as RBF(scale=0.5), or its name
    {KERNEL_NAMES}.
    A bandwidth that is not given is the median distance of each input.""",
    "kernel_y": """
kernel_y : as kernel, optional
    The kernel function of y, where it differs from that of x.""",
    "estimator": """
estimator : {"unbiased", "biased", "debiased"}
    "unbiased" needs 4 rows and "biased" 2; "debiased" is another word for "unbiased".""",
    "scalar": """
float, or for tensors and arrays of a GPU a 0-d one
    It lies where the inputs lie. NaN and inf in the data propagate.""",
    "errors": """
ValueError
    Where shapes or options do not fit.
TypeError
    Where types do not fit.""",
    "loss": """
float, or for tensors and arrays of a GPU a 0-d one
    reduction="none" gives an array or a tensor. NaN propagates.""",
    "temperature": """
temperature : float, or a tensor of no dimensions
    What similarities are divided by. Not 0; may be negative. A tensor gets a gradient.""",
    "normalize": """
normalize : bool
    Whether rows are first divided by their length, max(|row|, 1e-12).""",
    "exclude": """
exclude_above : float, optional
    Negatives with a dot product above this, the cosine of normalised rows, are left out of the anchor's
    sum, as probably of its own class.
exclude_hardest : float, optional
    That fraction of each anchor's m negatives is left out, the most similar first, and at least one where it
    is above 0: with k = max(1, floor(fraction m)) and t the k-th largest dot product, those above
    t - 1e-6 times the largest magnitude, so that neither order nor rounding chooses among equals. Cai et
    al. 2020 (arXiv:2010.06682) found the hardest 5 % both necessary and sufficient, and only the very
    hardest 0.1 % unnecessary and sometimes harmful: more than some thousandths is likely to do harm.
exclude_easiest : float, optional
    That fraction of each anchor's m negatives is left out, the least similar first, and at least one where it
    is above 0: with k as above and t the k-th smallest dot product, those below t + 1e-6 times the largest
    magnitude. Both fractions are of all m: exclude_hardest=0.001 with exclude_easiest=0.95 keeps what Cai et
    al. found to be enough, and with a sum of 1 or more none is left. Computed on the CPU; on a GPU it raises
    NotImplementedError.""",
    "long_pair": """
progress : bool or callable
    True shows a progress bar, a callable receives (done, total). Ctrl-C ends a long call.
checkpoint : path, optional
    A file that is kept up to date: after an interruption repeat the call to resume. The file of other
    arrays, another kernel or version is refused; a finished one gives the answer at once. For arrays in the
    CPU's memory, one kernel for both, and values without gradients.""",
    "sweep": """
progress : bool or callable
    True shows a progress bar, a callable receives (done, total). Ctrl-C ends a long sweep.
checkpoint : path, optional
    A file that is kept up to date: after an interruption repeat the call to resume. The file of other layers,
    another kernel or version is refused; a finished one gives the answer at once.
process_group : optional
    Of torch.distributed, such as torch.distributed.group.WORLD. All its processes call with the same
    arguments, share the work and get the answer; process 0 keeps the checkpoint. Arguments that differ, and
    an error in any process, end the call in all of them.""",
    "layers": """
xs : sequence or mapping of arrays
    The layers of one model, (n, d) each, with d as each layer has it; arrays as in `cka`. A mapping of names
    to layers gives a `LayerMatrix`, without gradients, as `layer_matrix` does.
ys : sequence or mapping of arrays, optional
    Those of the other model for the same examples. None compares xs with itself.""",
}
_PLACE = re.compile(r"^( *)\{(\w+)\}$", re.MULTILINE)


def documented(described: T) -> T:
    """Inserts the paragraphs of SHARED into a docstring, in place of their names in braces.

    >>> @documented
    ... def f():
    ...     '''What it does.
    ...
    ...     {normalize}
    ...     '''
    >>> print(f.__doc__.splitlines()[2])
        normalize : bool
    """
    if described.__doc__ is not None:
        described.__doc__ = _PLACE.sub(_paragraph, described.__doc__)
    return described


def _paragraph(place: re.Match[str]) -> str:
    return textwrap.indent(SHARED[place[2]].strip("\n"), place[1])

"""What users pass to a contrastive loss as the call of a problem; errors name `function`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _arrays
from ._arrays import checks
from ._arrays.namespaces import Array, Library
from ._evaluate import Call
from ._losses import as_reduction, check_mask, check_positives, check_queue, exclusions
from ._problems.contrast import Contrast, Ignoring
from ._problems.positives import Masked, Moco

Named = Sequence[tuple[str, Any]]  # arguments and what was given for them


def _read(function: str, named: Named, temperature: Any) -> tuple[Library, list[Array], Any]:
    """The library that computes with all of them, and what it reads."""
    library, arrays = checks.read(function, named, temperature)
    return library, arrays, library.temperature(function, temperature)


def _check_widths(function: str, named: Named, arrays: Sequence[Array]) -> None:
    for (name, _), x in zip(named[1:], arrays[1:], strict=True):
        checks.same_columns(function, named[0][0], arrays[0], name, x)


def instances(
    function: str,
    kind: str,
    named: Named,
    anchors: int,
    temperature: Any,
    normalize: Any = True,
    symmetric: Any = False,
    reduction: str = "mean",
    exclude_above: Any = None,
    exclude_hardest: Any = None,
) -> Call:
    """Rows i of the first two arrays are one example; `anchors` says how many of the arrays are anchors.

    Two are the views of `nt_xent` (kind "softmax") or `dcl` ("decoupled"), one those of `info_nce`.
    """
    library, arrays, temperature = _read(function, named, temperature)
    _check_widths(function, named, arrays)
    checks.same_rows(function, named[0][0], arrays[0], named[1][0], arrays[1])
    limits = exclusions(function, exclude_above, exclude_hardest)
    chosen = False, bool(normalize), bool(symmetric), as_reduction(function, reduction), *limits
    problem = Contrast(function, kind, anchors, len(arrays), *chosen)
    return Call(library, problem, (*arrays, temperature), (*[name for name, _ in named], "temperature"))


def log_sum_exps(
    function: str, x: Any, y: Any, temperature: Any, normalize: Any = False, exclude_self: Any = False
) -> Call:
    """`row_log_sum_exp`."""
    if exclude_self and y is not None:
        raise ValueError(f"{function}: exclude_self=True needs y=None, for the rows of y are not those of x")
    named = [("x", x)] if y is None else [("x", x), ("y", y)]
    library, arrays, temperature = _read(function, named, temperature)
    _check_widths(function, named, arrays)
    if y is None and not exclude_self:
        named, arrays = named * 2, arrays * 2
    problem = Contrast(
        function, "log_sum_exp", 1, len(arrays), False, bool(normalize), False, "none", None, None
    )
    return Call(library, problem, (*arrays, temperature), (*[name for name, _ in named], "temperature"))


def moco(
    function: str, named: Named, temperature: Any, normalize: Any = True, reduction: str = "mean"
) -> Call:
    """`moco` of queries, their keys and a queue."""
    library, arrays, temperature = _read(function, named, temperature)
    check_queue(function, arrays[0].shape[1], tuple(arrays[2].shape))
    _check_widths(function, named, arrays)
    checks.same_rows(function, named[0][0], arrays[0], named[1][0], arrays[1])
    problem = Moco(function, bool(normalize), as_reduction(function, reduction))
    return Call(library, problem, (*arrays, temperature), (*[name for name, _ in named], "temperature"))


def labelled(
    function: str,
    z: Any,
    labels: Any,
    temperature: Any,
    normalize: Any = True,
    reduction: str = "mean",
    exclude_above: Any = None,
    exclude_hardest: Any = None,
    mask: Any = None,
    ignore_index: Any = None,
) -> Call:
    """`sup_con`: rows of one label are positive to each other, or those a mask names."""
    check_positives(function, labels, mask, ignore_index, exclude_above, exclude_hardest)
    library, (z,), temperature = _read(function, [("z", z)], temperature)
    normalize, reduction = bool(normalize), as_reduction(function, reduction)
    names = "z", "temperature", None
    if mask is not None:
        mask = _mask(function, library, mask, z)
        return Call(library, Masked(function, normalize, reduction), (z, temperature, mask), names)
    labels, ignored = library.labels(function, labels, z.shape[0], ignore_index)
    limits = exclusions(function, exclude_above, exclude_hardest)
    chosen = function, "softmax", 1, 1, True, normalize, False, reduction, *limits
    problem = Contrast(*chosen) if ignored is None else Ignoring(*chosen, ignored)
    return Call(library, problem, (z, temperature, labels), names)


def _mask(function: str, library: Library, mask: Any, z: Array) -> Array:
    mask = library.beside(function, "mask", mask, z)
    if library.dtype(mask) not in _arrays.DTYPES:
        raise TypeError(f"{function}: mask must hold real numbers but has dtype {mask.dtype}")
    check_mask(function, tuple(mask.shape), z.shape[0])
    return mask

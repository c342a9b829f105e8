"""What users pass to a contrastive loss as the call of a problem; errors name `function`."""

from __future__ import annotations

from types import NoneType
from typing import Any

from . import _arrays
from ._arrays import checks
from ._arrays.libraries import library_of
from ._arrays.namespaces import Array, Arrays, Library, Named
from ._evaluate import Call
from ._losses import (
    Exclusions,
    OfRows,
    as_ignored,
    as_reduction,
    check_mask,
    check_positives,
    check_queue,
    exclusions,
)
from ._problems.contrast import Contrast, Ignoring
from ._problems.positives import Identified, Masked, Moco
from ._problems.sigmoid import Sigmoid


def _read(function: str, named: Named, temperature: Any) -> tuple[Library, tuple[Any, ...], tuple[Any, ...]]:
    """The library that computes with all of them, the inputs of a problem, and which argument each is."""
    library, arrays = checks.read(function, named, temperature)
    if type(temperature) is not float:  # which the problem checks, for torch.compile may let it vary
        temperature = library.temperature(function, temperature)
    return library, (*arrays, temperature), (*[name for name, _ in named], "temperature")


def _check_sides(function: str, named: Named, arrays: Arrays, paired: bool = True) -> None:
    """Raises ValueError unless all have as many columns and, where paired, the first two as many rows."""
    first, x = named[0][0], arrays[0]
    for (name, _), y in zip(named[1:], arrays[1:], strict=False):
        checks.same_columns(function, first, x, name, y)
    if paired:
        checks.same_rows(function, first, x, named[1][0], arrays[1])


def _limits(function: str, above: Any, hardest: Any, easiest: Any) -> Exclusions:
    """As floats; what is one already is checked by the problem."""
    kinds = float, NoneType
    if isinstance(above, kinds) and isinstance(hardest, kinds) and isinstance(easiest, kinds):
        return above, hardest, easiest
    return exclusions(function, above, hardest, easiest)


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
    exclude_easiest: Any = None,
    queues: int = 0,
    ids: Any = None,
) -> Call:
    """Rows i of the first two arrays are one example; `anchors` says how many of the arrays are anchors, and
    `queues` how many at the end are constant for autograd. ids: of all rows but those of the first array.

    Two are the views of `nt_xent` (kind "softmax") or `dcl` ("decoupled"), one those of `info_nce`.
    """
    library, inputs, names = _read(function, named, temperature)
    _check_sides(function, named, inputs)
    limits = _limits(function, exclude_above, exclude_hardest, exclude_easiest)
    normalize, symmetric, reduction = bool(normalize), bool(symmetric), as_reduction(function, reduction)
    if ids is not None:
        of_keys = _ids(function, library, named[1:], inputs[1 : len(named)], ids)
        paired = Identified(function, normalize, reduction, len(named), queues, symmetric, *limits)
        return Call(library, paired, (*inputs, of_keys), (*names, None))
    chosen = False, normalize, symmetric, reduction, *limits
    problem = Contrast(function, kind, anchors, len(named), *chosen, queues=queues)
    return Call(library, problem, inputs, names)


def log_sum_exps(
    function: str, x: Any, y: Any, temperature: Any, normalize: Any = False, exclude_self: Any = False
) -> Call:
    """`row_log_sum_exp`."""
    if exclude_self and y is not None:
        raise ValueError(f"{function}: exclude_self=True needs y=None, for the rows of y are not those of x")
    named = [("x", x)] if exclude_self else [("x", x), ("x", x) if y is None else ("y", y)]
    return log_sum_exps_of_all(function, named, None, temperature, normalize)


def log_sum_exps_of_all(function: str, named: Named, ids: Any, temperature: Any, normalize: Any) -> Call:
    """Of the rows of the first array over those of all others; ids: of the others, or None.

    Where ids are given the first of them are those of the first array too, and pairs of one id are left out.
    """
    library, inputs, names = _read(function, named, temperature)
    _check_sides(function, named, inputs, paired=False)
    labels = [] if ids is None else [_ids(function, library, named[1:], inputs[1 : len(named)], ids)]
    chosen = "log_sum_exp", 1, len(named), bool(labels), bool(normalize), False, "none"
    return Call(library, Contrast(function, *chosen), (*inputs, *labels), (*names, *[None for _ in labels]))


def moco(
    function: str, named: Named, temperature: Any, normalize: Any = True, reduction: str = "mean"
) -> Call:
    """`moco` of queries, their keys and a queue."""
    library, inputs, names = _read(function, named, temperature)
    check_queue(function, inputs[0].shape[1], tuple(inputs[2].shape))
    _check_sides(function, named, inputs)
    return Call(library, Moco(function, bool(normalize), as_reduction(function, reduction)), inputs, names)


def sigmoid_pairs(
    function: str,
    a: Any,
    b: Any,
    logit_scale: Any,
    logit_bias: Any,
    normalize: Any = True,
    reduction: str = "mean",
    names: tuple[str, str] = ("a", "b"),
) -> Call:
    """`siglip`."""
    named = [(names[0], a), (names[1], b)]
    tensor = logit_scale if _arrays.is_tensor(logit_scale) else logit_bias  # if one of them is
    library, arrays = checks.read(function, named, tensor)
    _check_sides(function, named, arrays)
    numbers = [("logit_scale", logit_scale), ("logit_bias", logit_bias)]
    inputs = (*arrays, *[library.scale(function, value, name) for name, value in numbers])
    problem = Sigmoid(function, bool(normalize), as_reduction(function, reduction))
    return Call(library, problem, inputs, (*names, "logit_scale", "logit_bias"))


def labelled(
    function: str,
    z: Any,
    labels: Any,
    temperature: Any,
    normalize: Any = True,
    reduction: str = "mean",
    exclude_above: Any = None,
    exclude_hardest: Any = None,
    exclude_easiest: Any = None,
    mask: Any = None,
    ignore_index: Any = None,
) -> Call:
    """`sup_con`: rows of one label are positive to each other, or those a mask names."""
    check_positives(function, labels, mask, ignore_index, exclude_above, exclude_hardest, exclude_easiest)
    library, inputs, names = _read(function, [("z", z)], temperature)
    normalize, reduction = bool(normalize), as_reduction(function, reduction)
    if mask is not None:
        problem: Any = Masked(function, normalize, reduction)
        return Call(library, problem, (*inputs, _mask(function, library, mask, inputs[0])), (*names, None))
    ignored = as_ignored(function, ignore_index)
    own = _reader(function, library, "labels", labels)
    labels, ignored = own.labels(function, labels, inputs[0].shape[0], ignored)
    limits = _limits(function, exclude_above, exclude_hardest, exclude_easiest)
    chosen = function, "softmax", 1, 1, True, normalize, False, reduction, *limits
    problem = Contrast(*chosen) if ignored is None else Ignoring(*chosen, ignored=ignored)
    return Call(library, problem, (*inputs, labels), (*names, None))


def _ids(function: str, library: Library, named: Named, keys: Arrays, ids: Any) -> Any:
    """An id for each row of these arrays."""
    what = OfRows("ids", tuple([name for name, _ in named]))
    rows = sum([x.shape[0] for x in keys])
    return _reader(function, library, "ids", ids).labels(function, ids, rows, None, what)[0]


def _reader(function: str, library: Library, name: str, values: Any) -> Library:
    """What reads values beside arrays of `library`: for tensors torch, whose dtypes numpy lacks in part."""
    own = library_of(function, [(name, values)])
    return own if own.rank > library.rank else library


def _mask(function: str, library: Library, mask: Any, z: Array) -> Array:
    own = _reader(function, library, "mask", mask)
    mask = own.beside(function, "mask", mask, z if own is library else mask)
    checks.real(function, "mask", own, mask)
    check_mask(function, tuple(mask.shape), z.shape[0])
    return mask if own is library else library.beside(function, "mask", _arrays.wide_on_host(mask), z)

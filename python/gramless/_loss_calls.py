"""Converts the arguments of a contrastive loss to the call of a problem; errors name `function`."""

from __future__ import annotations

from types import NoneType
from typing import Any, NamedTuple, TypeAlias

from . import _arrays, _losses
from ._arrays import checks
from ._arrays.frames import check_column_order, check_labels_of_rows, check_row_labels, check_views
from ._arrays.libraries import library_of
from ._arrays.namespaces import Array, Arrays, Library, Named
from ._counts import as_flag, as_number
from ._evaluate import Call
from ._problems.contrast import Contrast, Ignoring
from ._problems.guided import Guided
from ._problems.positives import Masked, OwnKeys
from ._problems.sigmoid import Sigmoid

Margin: TypeAlias = tuple[Any, Any]  # margin and margin_strategy of a guided loss


class Chosen(NamedTuple):
    """The options of a contrastive loss as users pass them, unchecked."""

    temperature: Any
    normalize: Any = True
    reduction: Any = "mean"
    excluded: Any = _losses.NOTHING  # exclude_above, exclude_hardest, exclude_easiest
    symmetric: Any = False


def _read(
    function: str, named: Named, temperature: Any, check_tables: Any = check_views
) -> tuple[Library, tuple[Any, ...], tuple[Any, ...]]:
    """The library of all arrays, the inputs of a problem, and the name of the argument of each input."""
    library, arrays = checks.read(function, named, temperature, check_tables)
    if type(temperature) is not float:  # the problem checks floats, which may be symbolic in torch.compile
        temperature = library.temperature(function, temperature)
    return library, (*arrays, temperature), (*[name for name, _ in named], "temperature")


def _limits(function: str, excluded: Any) -> _losses.Exclusions:
    """The limits as floats; the problem checks those that are floats already."""
    above, hardest, easiest = excluded
    kinds = float, NoneType
    if isinstance(above, kinds) and isinstance(hardest, kinds) and isinstance(easiest, kinds):
        return above, hardest, easiest
    return _losses.exclusions(function, excluded)


def instances(
    function: str, kind: str, named: Named, anchors: int, chosen: Chosen, queues: int = 0, ids: Any = None
) -> Call:
    """A loss for which row i of the first two arrays is one example.

    anchors: how many of the arrays are anchors: 2, the views of `nt_xent` (kind "softmax") or `dcl`
    ("decoupled"), or 1 for `info_nce`. queues: how many arrays at the end are constants for autograd. ids: of
    the rows of all arrays but the first.
    """
    temperature, normalize, reduction, excluded, symmetric = chosen
    library, inputs, names = _read(function, named, temperature)
    checks.sides(function, named, inputs)
    excluded = _limits(function, excluded)
    symmetric = symmetric if isinstance(symmetric, bool) else as_flag(function, "symmetric", symmetric)
    own = _losses.of_every_loss(function, normalize, reduction)
    if ids is None:
        problem = Contrast(*own, kind, anchors, len(named), False, symmetric, excluded, queues)
        return Call(library, problem, inputs, names)
    of_keys = _ids(function, library, named[1:], inputs[1 : len(named)], ids)
    paired = OwnKeys(*own, len(named), queues, True, symmetric, excluded)
    return Call(library, paired, (*inputs, of_keys), (*names, None), labels=(*names, "ids"))


def labelled_pairs(function: str, named: Named, labels: Any, chosen: Chosen) -> Call:
    """`uni_cl`: row i of anchors and of keys has label i; rows with equal labels are positives."""
    temperature, normalize, reduction, _, symmetric = chosen
    library, inputs, names = _read(function, named, temperature)
    checks.sides(function, named, inputs)
    check_row_labels(function, [named[0], ("labels", labels)])
    what = _losses.OfRows(function, inputs[0].shape[0], arrays=tuple([name for name, _ in named]))
    labels = _reader(function, library, "labels", labels).labels(what, labels)[0]
    own = _losses.of_every_loss(function, normalize, reduction)
    problem = Contrast(*own, "softmax", 1, 2, True, bool(symmetric))
    return Call(library, problem, (*inputs, labels), (*names, None), labels=(*names, "labels"))


def log_sum_exps(
    function: str, x: Any, y: Any, temperature: Any, normalize: Any = False, exclude_self: Any = False
) -> Call:
    """`row_log_sum_exp` of x over y, or over x itself."""
    if exclude_self and y is not None:
        raise ValueError(f"{function}: exclude_self=True excludes row i of x from x, so that y must be None")
    named = [("x", x)] if exclude_self else [("x", x), ("x", x) if y is None else ("y", y)]
    return log_sum_exps_of_all(function, named, None, temperature, normalize)


def log_sum_exps_of_all(
    function: str, named: Named, ids: Any, temperature: Any, normalize: Any, kind: type[Contrast] = Contrast
) -> Call:
    """Log-sum-exps of the rows of the first array over the rows of all others.

    ids: None, or those of the rows of all others, of which the first ones are also the ids of the rows of the
    first array; pairs with equal ids are left out.
    """
    library, inputs, names = _read(function, named, temperature, check_column_order)
    checks.sides(function, named, inputs, paired=False)
    labels = [] if ids is None else [_ids(function, library, named[1:], inputs[1 : len(named)], ids)]
    own = _losses.of_every_loss(function, normalize, "none")
    problem = kind(*own, "log_sum_exp", 1, len(named), bool(labels))
    return Call(library, problem, (*inputs, *labels), (*names, *[None for _ in labels]))


def moco(function: str, named: Named, chosen: Chosen) -> Call:
    """`moco` of queries, their keys and a queue."""
    library, inputs, names = _read(function, named, chosen.temperature)
    _losses.check_queue(function, inputs[0].shape[1], tuple(inputs[2].shape))
    checks.sides(function, named, inputs)
    own = _losses.of_every_loss(function, chosen.normalize, chosen.reduction)
    return Call(library, OwnKeys(*own, len(named), 1), inputs, names)


def sigmoid_pairs(
    function: str, named: Named, scale: Any, bias: Any, normalize: Any = True, reduction: str = "mean"
) -> Call:
    """`siglip` of two arrays whose rows i are one example."""
    tensor = scale if _arrays.is_tensor(scale) else bias  # either of them may be a tensor
    library, arrays = checks.read(function, named, tensor, check_views)
    checks.sides(function, named, arrays)
    numbers = [("logit_scale", scale), ("logit_bias", bias)]
    inputs = (*arrays, *[library.scale(function, value, name) for name, value in numbers])
    problem = Sigmoid(*_losses.of_every_loss(function, normalize, reduction))
    return Call(library, problem, inputs, tuple([name for name, _ in (*named, *numbers)]))


def guided(
    function: str,
    rows: Named,
    guide: Named,
    chosen: Chosen,
    margin: Margin,
    contrast: tuple[Any, Any],
    others: bool = False,
) -> Call:
    """`guided_info_nce` of anchors, positives and negatives, with the guide's embeddings of each.

    contrast: whether pairs of two anchors, and of two positives, are negatives. others: whether the last
    array holds positives of other processes.
    """
    number, strategy = margin
    relative = _losses.is_share(function, strategy)
    if type(number) is not float:  # the problem checks floats, which may be symbolic in torch.compile
        number = as_number(function, "margin", number)
    library, inputs, names = _read(function, [*rows, *guide], chosen.temperature)
    embeddings, of_guide = inputs[: len(rows)], inputs[len(rows) : -1]
    checks.sides(function, rows, embeddings)
    checks.sides(function, guide, of_guide, paired=False)
    for (name, _), x, (of_name, _), y in zip(rows, embeddings, guide, of_guide, strict=True):
        checks.same_rows(function, name, x, of_name, y)
    own = _losses.of_every_loss(function, chosen.normalize, chosen.reduction)
    flags = ("contrast_anchors", "contrast_positives")
    anchors, positives = (as_flag(function, *one) for one in zip(flags, contrast, strict=True))
    problem = Guided(*own, len(inputs) - 1, number, relative, anchors, positives, others)
    differentiable = *names[: len(rows)], *[None for _ in guide], names[-1]
    return Call(library, problem, inputs, differentiable, labels=names)


def labelled(
    function: str, z: Any, labels: Any, chosen: Chosen, mask: Any = None, ignore_index: Any = None
) -> Call:
    """`sup_con`: rows with equal labels, or the pairs of a mask, are positives."""
    temperature, normalize, reduction, excluded, _ = chosen
    _losses.check_positives(function, labels, mask, ignore_index, excluded)
    library, inputs, names = _read(function, [("z", z)], temperature)
    own = _losses.of_every_loss(function, normalize, reduction)
    if mask is not None:
        _check_tables(function, z, mask)
        given = *inputs, _mask(function, library, mask, inputs[0])
        return Call(library, Masked(*own), given, (*names, None), labels=(*names, "mask"))
    check_row_labels(function, [("z", z), ("labels", labels)])
    ignored = _losses.as_ignored(function, ignore_index)
    reader = _reader(function, library, "labels", labels)
    labels, ignored = reader.labels(_losses.OfRows(function, inputs[0].shape[0]), labels, ignored)
    options = (*own, "softmax", 1, 1, True, False, _limits(function, excluded))
    problem = Contrast(*options) if ignored is None else Ignoring(*options, 0, ignored)
    return Call(library, problem, (*inputs, labels), (*names, None), labels=(*names, "labels"))


def _ids(function: str, library: Library, named: Named, keys: Arrays, ids: Any) -> Any:
    """The ids, one for each row of these arrays, checked."""
    check_labels_of_rows(function, named, "ids", ids)
    rows = sum([x.shape[0] for x in keys])
    what = _losses.OfRows(function, rows, "ids", tuple([name for name, _ in named]))
    return _reader(function, library, "ids", ids).labels(what, ids)[0]


def _reader(function: str, library: Library, name: str, values: Any) -> Library:
    """The library that reads these values: torch for a tensor, which may have a dtype that numpy lacks."""
    own = library_of(function, [(name, values)])
    return own if own.rank > library.rank else library


def _check_tables(function: str, z: Any, mask: Any) -> None:
    """Check that tables of rows and of a mask have the same row labels; those of the mask on both sides."""
    check_row_labels(function, [("z", z), ("mask", mask)])
    if not _arrays.is_tensor(mask) and hasattr(mask, "columns") and hasattr(mask, "T"):
        check_row_labels(function, [("z", z), ("mask.T", mask.T)])


def _mask(function: str, library: Library, mask: Any, z: Array) -> Array:
    own = _reader(function, library, "mask", mask)
    mask = own.beside(function, "mask", mask, z if own is library else mask)
    checks.real(function, "mask", own, mask)
    _losses.check_mask(function, tuple(mask.shape), z.shape[0])
    return mask if own is library else library.beside(function, "mask", _arrays.wide_on_host(mask), z)

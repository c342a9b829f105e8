"""Two models and a dataloader in, the matrix of CKA between their layers out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import nn

from .._chance import LEAST_CHI2_ROWS, ChanceRequest, PvalueMethod
from .._layer_intervals import IntervalRequest
from .._layouts import LayoutLike, Layouts
from .._paths import from_here
from .._progress import ProgressLike
from ..kernels import Estimator, KernelLike, Linear, as_estimator, as_kernel
from ..results import LayerMatrix
from ._ranks import Ranks
from .batches import BatchReader, Forward
from .exchange import described
from .grams import gram_or_rows
from .hooks import Recorder
from .layers import Layers, bare, select
from .masks import MaskWhere, Where
from .placing import placed
from .pooling import Pool, check_pool, owned, owned_there
from .requests import check_request
from .sweep import FUNCTION, Method, Plan, Side, Weighting, compared

__all__ = ["compare_models"]


def compare_models(
    model_a: nn.Module,
    model_b: nn.Module | None = None,
    *dataloaders: Any,
    layers: Layers = None,
    layers_b: Layers = None,
    kernel: KernelLike = "linear",
    estimator: Estimator = "unbiased",
    method: Method = "exact",
    weighting: Weighting = "mean",
    pool: Pool = "mean",
    layout: LayoutLike = None,
    device: torch.device | str | None = None,
    progress: ProgressLike = True,
    forward: Forward = None,
    attention_mask: MaskWhere = "attention_mask",
    sample_ids: Where = None,
    memory_budget: int = 2 * 2**30,
    folder: str | Path | None = None,
    checkpoint: str | Path | None = None,
    process_group: Any = None,
    paired: bool = False,
    pvalue: PvalueMethod | None = "auto",
    n_resamples: int = 199,
    rng: int | np.random.Generator | None = None,
    level: float | None = None,
    digests: bool = False,
) -> LayerMatrix:
    """CKA of every layer of model_a with every layer of model_b on the same examples.

    The models run in evaluation mode without gradients and are left as found; on CPUs pictures go in with
    channels last, unless a model fails on that. A constant layer has NaN and a warning.

    Parameters
    ----------
    model_a : torch.nn.Module
    model_b : torch.nn.Module, optional
        None compares model_a with itself.
    *dataloaders
        One for both models, or one each (other input sizes), in step and known to have one order. A batch is
        a tensor, a packed sequence, a tuple or list that starts with one, or a mapping, of which a model gets
        what its forward takes. Each model gets a copy of the batch, without `forward` its floating-point
        tensors in the dtype of the model's parameters.
    layers, layers_b : optional
        Names, patterns (* stays within one level, ** crosses dots), types or modules, in any order, which is
        kept; "blocks" are the members of the model's lists of modules, "leaves" the modules inside which no
        other runs, except dropout; None takes the blocks of a transformer and the leaves of other models;
        layers_b is as layers by default. A module that runs several times is several layers, relu[0],
        relu[1], ... What a pattern, a type or a default finds and is no layer in the end is left out, with a
        warning that has the reasons.
    kernel, estimator
        As in `gramless.cka`.
    method : {"exact", "minibatch"}
        "exact" keeps activations, in memory up to memory_budget bytes and beyond it in temporary files in
        `folder`, which go with the process; "minibatch" keeps none (`MinibatchCKA` with `weighting`). What
        fits into the memory of the models' GPU is compared there, with checkpoint or process_group on the
        CPU.
    weighting : {"mean", "pairs"}
        Of method="minibatch".
    pool : {"mean", "none", "class", "last", "tokens"} or callable
        "mean" averages over positions, the valid ones where there is a mask; "none" flattens; "class" takes
        the first valid token, "last" the last; "tokens" is "mean" and insists on a mask. A callable takes an
        output's tensor to (n, features); it also gets those of name, module and mask that it has parameters
        for.
    layout : str, list or mapping, optional
        What the dimensions of layers are, where their modules and the operations around them do not tell: a
        letter for each, N for examples, C for features, others for positions, such as "NCHW" or "NLC"; one
        for all layers, a list for several numbers of dimensions, or a mapping from patterns to these.
    device : optional
        None uses the models where they are; another moves them, and back afterwards.
    progress : bool or callable
        True draws a bar where rich is installed, a callable receives (done, total) batches, then tiles, then
        permutations.
    forward : callable, optional
        Of (model, batch), where a batch is not one of the above.
    attention_mask, sample_ids : key, index or callable
        Where these are in a batch; a callable takes the batch. A mask is (examples, tokens), 1 or True for
        valid tokens, and holds for the tokens it is for, in the tower that has them: decoder_attention_mask,
        where the batch has one, for decoder_input_ids, that of a mapping within the batch for the tokens
        beside it. A mapping from patterns of layers to keys says which holds where.
    memory_budget : int
        Bytes of activations in memory with method="exact".
    folder : path, optional
        Where temporary files go.
    checkpoint : path, optional
        A file that keeps an exact comparison, forward passes aside, as `cka_matrix` does.
    process_group : optional
        Of torch.distributed. Its processes each bring batches of their own, such as a DistributedSampler's,
        and the same other arguments; an error in any of them ends the call in all. Exact: activations are
        exchanged and tiles shared; minibatch: sums are merged. All get the one answer.
    paired : bool
        True where two dataloaders are known to yield the same examples in the same order, though their
        samplers do not show it. Otherwise, without sample_ids, they must be lists or have shuffle=False, and
        no collate functions but torch's, transformers' or one of yours for both, which may sort a batch.
    pvalue, n_resamples, rng
        How the result's p-values are computed, as in `gramless.layer_matrix`: "auto" permutes below 40
        examples and where single examples decide, and takes "chi2" otherwise; None computes none.
        method="minibatch" has none, and in a process group there are no permutations.
    level
        Such as 0.95: every cell gets an interval, as in `gramless.layer_matrix`; method="exact" only.
    digests
        True adds SHA-256 of both models' weights, of the batches and of each layer's rows to the record.

    Returns
    -------
    LayerMatrix
        matrix, layers_a, layers_b, settings, z, pvalue, pvalue_corrected; plot, to_csv, to_dataframe, save.

    Raises
    ------
    ValueError, TypeError
        In a sentence for a layer that is not there, never runs or has two possible layouts, batches or
        outputs that are not understood, dataloaders that do not match, and models on different devices.

    References
    ----------
    Kornblith, Norouzi, Lee and Hinton 2019, arXiv:1905.00414.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Linear(8, 3))
    >>> batches = list(torch.randn(64, 4, generator=torch.manual_seed(0)).split(16))
    >>> compare_models(net, None, batches, layers=["2", "0"]).layers_a
    ['2', '0']
    """
    ranks = None if process_group is None else Ranks(FUNCTION, process_group)
    with nullcontext() if ranks is None else ranks.together(), ExitStack() as undo:
        options = as_kernel(kernel, FUNCTION), as_estimator(estimator, FUNCTION), method, weighting
        chance = ChanceRequest.of(FUNCTION, pvalue, n_resamples, rng)
        intervals = IntervalRequest.of(FUNCTION, level)
        reader = BatchReader(FUNCTION, forward, attention_mask, sample_ids, paired)
        pool = check_pool(FUNCTION, pool)
        kept = memory_budget, folder, progress, from_here(f"{FUNCTION}: checkpoint", checkpoint)
        plan = _checked(
            Plan(
                *options,
                pool,
                reader,
                *kept,
                ranks,
                Layouts(FUNCTION, layout),
                chance,
                intervals,
                rng,
                digests,
            )
        )
        if model_b is not None and not isinstance(model_b, nn.Module):
            model_b, dataloaders = None, (model_b, *dataloaders)
        if len(dataloaders) not in (1, 2):
            raise TypeError(f"{FUNCTION}: one or two dataloaders are needed but there are {len(dataloaders)}")
        if ranks is not None:
            given = {"layout": layout, "attention_mask": attention_mask, "forward": forward}
            ranks.check_equal(_agreed(plan, model_b, dataloaders) | described(given))
        sides = _sides(model_a, model_b, dataloaders, layers, layers_b, plan)
        check_request(FUNCTION, dataloaders, plan)
        where = undo.enter_context(placed(FUNCTION, [side.model for side in sides], device))
        for side in sides:
            undo.enter_context(side.recorder.running())
        return compared(sides, dataloaders, where, plan)


def _agreed(plan: Plan, model_b: nn.Module | None, loaders: Sequence[Any]) -> dict[str, Any]:
    """What must be the same in all processes, before they run their models."""
    found: dict[str, Any] = {"function": FUNCTION, "kernel": repr(plan.kernel), "estimator": plan.estimator}
    found |= {"method": plan.method, "weighting": plan.weighting, "pool": described(plan.pool)}
    found |= {"pvalue": plan.chance.method, "checkpoint": None if plan.checkpoint is None else "a file"}
    found |= {"level": plan.intervals.level}
    return found | {"model_b": model_b is not None, "dataloaders": len(loaders)}


def _checked(plan: Plan) -> Plan:
    """The plan, if its parts go together."""
    for name, allowed in (("method", Method), ("weighting", Weighting)):
        value = getattr(plan, name)
        if value not in get_args(allowed):
            raise ValueError(f"{FUNCTION}: {name} must be one of {get_args(allowed)} but is {value!r}")
    if plan.method == "minibatch" and plan.chance.method not in (None, "auto"):
        raise ValueError(
            f'{FUNCTION}: pvalue={plan.chance.method!r} needs method="exact" but it is "minibatch"'
        )
    if plan.method == "minibatch" and plan.intervals.level is not None:
        raise ValueError(
            f'{FUNCTION}: level={plan.intervals.level!r} needs method="exact" but it is "minibatch"'
        )
    if plan.method == "exact":  # what needs scipy, or is no method for the estimator, before the models run
        chance = plan.chance if plan.ranks is None else plan.chance.shared(LEAST_CHI2_ROWS, plan.estimator)
        chance.chosen(LEAST_CHI2_ROWS, plan.estimator)
    if plan.method == "minibatch" and plan.checkpoint is not None:
        raise ValueError(f'{FUNCTION}: checkpoint needs method="exact" but it is "minibatch"')
    if plan.method == "minibatch" and plan.estimator != "unbiased":
        raise ValueError(
            f'{FUNCTION}: method="minibatch" needs estimator="unbiased" but it is {plan.estimator!r}'
        )
    return plan


def _sides(
    model_a: nn.Module,
    model_b: nn.Module | None,
    loaders: Sequence[Any],
    layers: Layers,
    layers_b: Layers,
    plan: Plan,
) -> list[Side]:
    """One side for a model against itself, else two."""
    if not isinstance(model_a, nn.Module):
        meant = ""
        if hasattr(model_a, "shape") or isinstance(model_a, (Mapping, list, tuple)):
            meant = "; arrays are compared by gramless.cka, layers that are arrays by gramless.layer_matrix"
        raise TypeError(
            f"{FUNCTION}: model_a must be a torch.nn.Module but is {type(model_a).__name__}{meant}"
        )
    keep = _keeper(plan)
    any_order = plan.method == "minibatch"  # a batch is compared with itself alone

    def side(owner: str, model: nn.Module, wanted: Layers, argument: str, batch: int) -> Side:
        found = select(FUNCTION, owner, model, wanted, argument)
        recorder = Recorder(FUNCTION, owner, model, found, plan.pool, plan.layouts, keep, any_order)
        return Side(model, recorder, batch)

    model_a = bare(model_a)
    model_b = model_a if model_b is None else bare(model_b)
    side_a = side("model_a", model_a, layers, "layers", 0)
    sides = [side_a]
    if not (model_b is model_a and layers_b is None and len(loaders) == 1):
        wanted, argument = (layers, "layers") if layers_b is None else (layers_b, "layers_b")
        owner = "model_a" if model_b is model_a else "model_b"
        sides.append(side(owner, model_b, wanted, argument, len(loaders) - 1))
    names = [name for side in sides for name in side.recorder.candidates]
    plan.layouts.check_used(names)
    plan.reader.check_masks(names)
    return sides


def _keeper(plan: Plan) -> Callable[[torch.Tensor], Any]:
    """What is kept of a layer's rows, and where: files and other processes take them from the CPU."""
    if plan.method == "minibatch":
        return gram_or_rows if isinstance(plan.kernel, Linear) else owned_there
    return owned if plan.checkpoint is not None or plan.ranks is not None else owned_there

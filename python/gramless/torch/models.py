"""Comparison of two models: the CKA matrix between their layers from a dataloader."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import nn

from .._chance import LEAST_CHI2_ROWS, ChanceRequest, PvalueMethod
from .._docs import documented
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


@documented
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

    The models run in evaluation mode without gradients, and stay unchanged. On CPUs, images are passed in
    channels-last format unless a model fails with it. A constant layer gives NaN and a RuntimeWarning.

    Parameters
    ----------
    model_a : torch.nn.Module
        The first model.
    model_b : torch.nn.Module, optional
        The second model; None (default) compares model_a with itself.
    *dataloaders
        One dataloader for both models, or one for each (for example with other input sizes), which must yield
        the same examples in the same order. A batch is a tensor, a packed sequence, a tuple or list that
        starts with one of these, or a mapping, of which a model receives the entries that its forward
        accepts. Each model receives a copy of the batch; without `forward`, floating-point tensors are
        converted to the dtype of the model's parameters.
    layers, layers_b : str, type, module or sequence of these, optional
        {model_layers}
        layers_b=None uses `layers`.
    {kernel}
    {estimator}
    method : {"exact", "minibatch"}
        "exact" stores the activations, in memory up to memory_budget bytes and beyond that in temporary files
        in `folder`, which disappear with the process. "minibatch" stores none (`MinibatchCKA` with
        `weighting`) and has no p-values. Activations that fit into the memory of the models' GPU are compared
        there; with checkpoint or process_group on the CPU.
    weighting : {"mean", "pairs"}
        For method="minibatch": the weights of batches, 1 or n_t (n_t - 3) for n_t examples.
    {pool}
    {layout}
    device : torch.device or str, optional
        None (default) runs the models where they are; a device moves them there, and back afterwards.
    progress : bool or callable
        True shows a progress bar if rich is installed; a callable receives (done, total) for batches, then
        tiles, then permutations.
    forward : callable, optional
        A function of (model, batch) that runs the model, for other batches than those above.
    attention_mask, sample_ids : key, index or callable
        {mask}
        Sample ids are compared between dataloaders.
    memory_budget : int
        The bytes of activations to keep in memory with method="exact".
    folder : path, optional
        The folder of temporary files; None (default) uses the system's.
    checkpoint : path, optional
        A file with the state of an exact comparison, without the forward passes; repeat the call to resume.
    process_group : torch.distributed.ProcessGroup, optional
        Each process passes batches of its own, such as those of a DistributedSampler, and otherwise the same
        arguments. "exact" exchanges activations and shares tiles, "minibatch" merges sums. All processes
        return the same result; if one fails, the call raises in all of them. There are no permutations.
    paired : bool
        True states that two dataloaders yield the same examples in the same order although their samplers do
        not show it. Otherwise, without sample_ids, they must be lists or have shuffle=False, and their
        collate functions, which might reorder a batch, must be torch's, transformers' or the same function.
    {pvalues}
    level : float, optional
        For example 0.95, to compute an interval for every cell, which contains the CKA of the population with
        this probability (`gramless.layer_matrix`); for method="exact" only.
    digests : bool
        Whether to add the SHA-256 of the weights, the batches and the rows of each layer to the record.

    Returns
    -------
    LayerMatrix
        With matrix, layers_a, layers_b, settings, z, pvalue, pvalue_corrected and others, and the methods
        plot, to_csv, to_dataframe and save.

    Raises
    ------
    ValueError, TypeError
        If a layer does not exist, never runs or has an ambiguous layout, a batch or an output has an
        unsupported type, dataloaders do not match, or the models are on different devices.

    Warns
    -----
    UserWarning
        If layers are left out.
    RuntimeWarning
        If CKA is not defined for some layers.

    References
    ----------
    Kornblith, Norouzi, Lee and Hinton 2019, "Similarity of neural network representations revisited",
    arXiv:1905.00414.

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
            raise TypeError(f"{FUNCTION}: pass one or two dataloaders; there are {len(dataloaders)}")
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
    """The arguments that must be equal in all processes, in a form that can be compared."""
    found: dict[str, Any] = {"function": FUNCTION, "kernel": repr(plan.kernel), "estimator": plan.estimator}
    found |= {"method": plan.method, "weighting": plan.weighting, "pool": described(plan.pool)}
    found |= {"pvalue": plan.chance.method, "checkpoint": None if plan.checkpoint is None else "a file"}
    found |= {"level": plan.intervals.level}
    return found | {"model_b": model_b is not None, "dataloaders": len(loaders)}


def _checked(plan: Plan) -> Plan:
    """The plan, checked for options that contradict each other."""
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
    if plan.method == "exact":  # raises before the models run if the method of p-values is not available
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
    """One side if a model is compared with itself on the same layers, else two."""
    if not isinstance(model_a, nn.Module):
        meant = ""
        if hasattr(model_a, "shape") or isinstance(model_a, (Mapping, list, tuple)):
            meant = "; to compare arrays use gramless.cka, or gramless.layer_matrix for layers as arrays"
        raise TypeError(
            f"{FUNCTION}: model_a must be a torch.nn.Module but is {type(model_a).__name__}{meant}"
        )
    keep = _keeper(plan)
    any_order = plan.method == "minibatch"  # rows of different batches are not compared

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
    """The function that copies or reduces the rows of a layer; to the CPU for files and other processes."""
    if plan.method == "minibatch":
        return gram_or_rows if isinstance(plan.kernel, Linear) else owned_there
    return owned if plan.checkpoint is not None or plan.ranks is not None else owned_there

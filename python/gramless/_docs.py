"""Paragraphs that public docstrings share, and `documented`, which inserts them."""

from __future__ import annotations

from ._paragraphs import T, inserted
from .kernels import KERNEL_NAMES

_ARRAYS = """
Arrays of numpy of any layout and real dtype (also memory-mapped), DataFrames of pandas or polars,
torch tensors, or GPU arrays, such as cupy's, in a floating-point dtype; they are read in place. The
computation is in float64 if any of them is float64 or a wide integer, otherwise in float32"""
SHARED = {
    "similarity_arrays": f"""{_ARRAYS};
data that float32 cannot resolve are computed in float64.""",
    "loss_arrays": f"""{_ARRAYS}.""",
    "host_arrays": """
Arrays of numpy or CPU tensors of any layout and real dtype (also memory-mapped), or DataFrames of
pandas or polars.""",
    "host_scalar": """
float, or for tensors a 0-d tensor""",
    "host_errors": """
ValueError
    If shapes do not match or an option has an invalid value.
TypeError
    If an argument has a type or dtype that is not supported.
NotImplementedError
    If an array is on a GPU.""",
    "progress": """
progress : bool or callable
    True shows a progress bar; a callable receives (done, total).""",
    "permutations": """
n_resamples : int
    The number of random permutations, at least 1.
rng : int, numpy.random.Generator or None
    The seed of the permutations: an int gives the same p-value for every call, None does not.
progress : bool or callable
    True shows a progress bar over the permutations; a callable receives (done, total).""",
    "neighbors": """
k : int
    The number of neighbours of each row, from 1 to n - 1.""",
    "kernel": f"""
kernel : a kernel, such as RBF(scale=0.5), or its name
    {KERNEL_NAMES}.
    A kernel without a given bandwidth uses the median distance of each input.""",
    "kernel_y": """
kernel_y : a kernel or its name, optional
    The kernel function of y if it differs from that of x. None (default) uses `kernel` for both.""",
    "estimator": """
estimator : {"unbiased", "biased", "debiased"}
    "unbiased" needs at least 4 rows and "biased" at least 2; "debiased" is a synonym of "unbiased".""",
    "scalar": """
float, or for tensors and GPU arrays a 0-d tensor or array
    It is on the device of the inputs. NaN and inf in the data propagate.""",
    "errors": """
ValueError
    If shapes do not match or an option has an invalid value.
TypeError
    If an argument has a type or dtype that is not supported.""",
    "loss": """
float, or for tensors and GPU arrays a 0-d tensor or array
    With reduction="none" an array or tensor with one value per row. NaN propagates.""",
    "temperature": """
temperature : float, or a 0-d tensor
    The divisor of the similarities; not 0, but it may be negative. A tensor gets a gradient.""",
    "normalize": """
normalize : bool
    Whether to divide each row by its length first, by max(|row|, 1e-12).""",
    "exclude": """
exclude_above : float, optional
    Excludes negatives with a dot product (for normalised rows the cosine) above this value from the
    anchor's sum, because they probably have the anchor's class.
exclude_hardest : float, optional
    Excludes this fraction of each anchor's m negatives, the most similar ones, and at least one if it is
    above 0. With k = max(1, floor(fraction m)) and t the k-th largest dot product, it excludes dot
    products above t - 1e-6 times the largest magnitude, so that the choice among equal ones depends on
    neither order nor rounding. Cai et al. 2020 (arXiv:2010.06682) found the hardest 5 % both necessary
    and sufficient, and only the very hardest 0.1 % unnecessary and sometimes harmful: excluding more than
    a few thousandths is likely to do harm.
exclude_easiest : float, optional
    Excludes this fraction of each anchor's m negatives, the least similar ones, and at least one if it is
    above 0. With k as above and t the k-th smallest dot product, it excludes dot products below t + 1e-6
    times the largest magnitude. Both fractions refer to all m: exclude_hardest=0.001 with
    exclude_easiest=0.95 keeps the negatives that Cai et al. found sufficient, and fractions with a sum of
    1 or more exclude all. It runs on the CPU; for arrays of a GPU it raises NotImplementedError.""",
    "long_pair": """
progress : bool or callable
    True shows a progress bar; a callable receives (done, total). Ctrl-C interrupts a long computation.
checkpoint : path, optional
    A file with the state of the computation; after an interruption, repeat the call to resume. A file of
    other arrays, another kernel or another version raises ValueError; a finished one returns its result
    at once. It needs arrays in the CPU's memory and one kernel for both; the value has no gradient.""",
    "sweep": """
progress : bool or callable
    True shows a progress bar; a callable receives (done, total). Ctrl-C interrupts a long computation.
checkpoint : path, optional
    A file with the state of the computation; after an interruption, repeat the call to resume. A file of
    other layers, another kernel or another version raises ValueError; a finished one returns its result
    at once.
process_group : torch.distributed.ProcessGroup, optional
    Such as torch.distributed.group.WORLD. All its processes make the same call, share the work and return
    the same result; process 0 writes the checkpoint. If their arguments differ, or one process fails, the
    call raises in all of them.""",
    "pvalues": """
pvalue : {"auto", "chi2", "t", "gamma", "permutation"} or None
    How `pvalue` and `pvalue_corrected` of the result are computed; None computes neither.
    "auto" is "permutation" for fewer than 40 rows. It is also "permutation" on the CPU if the kernel is
    unbounded, on both sides a layer has more than a third of its squared length in a single row, and
    there are at most 1,000 rows and at most 10 for each cell. Otherwise it is "chi2" or, for the biased
    estimator, "gamma" if scipy is installed, else None. The page "Is it chance?" has measured levels.
    "chi2" is P(chi^2_1 > n CKA + 1) (Shen et al. 2021). "t" is Student's t for wide layers (Szekely and
    Rizzo 2013); it needs scipy. "gamma" is for the biased estimator, with its exact mean and variance; it
    needs scipy. "permutation" permutes the rows of all ys in the same `n_resamples` random orders, or in
    all orders for 7 rows or fewer, and is valid for any data. It takes at most about n_resamples times as
    long as the matrix; `progress` shows an estimate before it starts.
n_resamples : int
    The number of permutations. The smallest p-value is 1 / (n_resamples + 1).
rng : int, numpy.random.Generator or None
    The seed of the permutations; an int gives the same p-values for every call.""",
    "model_layers": """
Names, patterns (* matches within one level, ** crosses dots), types or modules; their order is
kept. "blocks" selects the members of the model's lists of modules, "leaves" the modules inside
which no other module runs, except dropout. None (default) selects the blocks of a transformer and
the leaves of other models. A module that runs several times is several layers, relu[0], relu[1],
... Modules that a pattern, a type or a default selects but that cannot be compared are left out
with one warning, which states the reasons.""",
    "pool": """
pool : {"mean", "none", "class", "last", "tokens"} or callable
    "mean" averages over positions, the valid ones if there is a mask; "none" flattens them; "class" uses
    the first valid token and "last" the last one; "tokens" is "mean" but requires a mask. A callable
    receives the tensor of an output, and `name`, `module` and `mask` if it has such parameters, and
    returns (n, features).""",
    "layout": """
layout : str, list or mapping, optional
    The dimensions of layers for which their modules and the operations around them do not show them: a
    letter for each dimension, N for examples, C for features and others for positions, such as "NCHW" or
    "NLC". Pass one text for all layers, a list for several numbers of dimensions, or a mapping from
    patterns to these.""",
    "mask": """
The place in a batch, or a function of the batch. A mask is (examples, tokens), 1 or True for valid
tokens. It applies to the tokens in the same mapping and to layers computed from them;
decoder_attention_mask, if a batch has it, applies to decoder_input_ids. A mapping from patterns of
layers to keys states which mask applies to which layer.""",
    "layers": """
xs : sequence or mapping of arrays
    The layers of one model, each (n, d); d may differ between layers. A mapping from names to layers
    returns a `LayerMatrix`, without gradients, as `layer_matrix` does.
ys : sequence or mapping of arrays, optional
    The layers of the other model for the same n examples. None (default) compares xs with itself.""",
}


def documented(described: T) -> T:
    """Insert the paragraphs of SHARED into a docstring, in place of their names in braces."""
    return inserted(described, SHARED)

"""Exchange of rows and sums between processes that each ran the models on batches of their own."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from types import CodeType
from typing import Any

import numpy as np
import numpy.typing as npt

from ..minibatch import MinibatchCKA
from ._ranks import Ranks
from .activation_store import ActivationStore
from .pooling import Rows

CHUNK = 1024  # rows at a time


def described(value: Any) -> Any:
    """An argument in a form that processes can compare: callables by name, lambdas also by their code.

    >>> described({"encoder": described, "decoder": "mask"})
    {'encoder': 'described', 'decoder': 'mask'}
    """
    if isinstance(value, Mapping):
        return {str(name): described(entry) for name, entry in value.items()}
    if not callable(value):
        return value
    name = getattr(value, "__qualname__", type(value).__name__)
    code = getattr(value, "__code__", None)
    return f"{name} with code {_digest(code)}" if name.endswith("<lambda>") and code is not None else name


def _digest(code: CodeType) -> str:
    """A digest of code that is the same in all processes with this version of Python."""
    found = hashlib.blake2b(code.co_code + repr((code.co_names, code.co_varnames)).encode(), digest_size=4)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            text = _digest(constant)
        else:  # the order of a set varies from process to process
            text = repr(sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant)
        found.update(text.encode())
    return found.hexdigest()


def check_layers(function: str, ranks: Ranks, layers: Any, widths_and_dtypes: Any, examples: int) -> None:
    """Raise ValueError in all processes unless all have the same layers and at least one example."""
    for rank, count in enumerate(ranks.all_gather_object(examples)):
        if count == 0:
            raise ValueError(f"{function}: every process needs a batch but process {rank} has none")
    ranks.check_equal({"layers": layers} | widths_and_dtypes)


def merged(ranks: Ranks, minibatch: MinibatchCKA) -> MinibatchCKA:
    """The accumulated batches of all processes, merged in the order of the processes."""
    total = MinibatchCKA(minibatch.kernel, minibatch.weighting)
    for state in ranks.all_gather_object(minibatch.state_dict()):
        of_rank = MinibatchCKA(minibatch.kernel, minibatch.weighting)
        of_rank.load_state_dict(state)
        total.merge(of_rank)
    return total


def all_rows(ranks: Ranks, own: Sequence[npt.NDArray[Any]], store: ActivationStore) -> list[Rows]:
    """The rows of every layer from all processes, those of process 0 first."""
    counts = ranks.all_gather_object(len(own[0]))
    chunks = math.ceil(sum(counts) / CHUNK)
    for owner, count in enumerate(counts):
        for start in range(0, count, CHUNK):
            rows = min(CHUNK, count - start)
            part = [
                np.array(layer[start : start + rows])
                if owner == ranks.rank
                else np.empty((rows, layer.shape[1]), layer.dtype)
                for layer in own
            ]
            ranks.all_gather_object(None)  # all processes have stored the previous rows
            store.append([ranks.broadcast(layer, owner) for layer in part], chunks)
    return store.arrays()

"""Losses and gradients as accurate as naive code in the same dtype, around every tile size."""

from __future__ import annotations

import functools

import gramless
import naive_losses
import numpy as np
import pytest
from gradients import with_grads
from gramless import reference
from tolerance import MORE_DIGITS, assert_as_accurate

# rows around the core's tiles, with narrow and wide rows in turn
SHAPES = [
    (1, 3),
    (2, 1),
    (5, 1),
    (3, 17),
    (24, 129),
    (47, 48),
    (48, 2),
    (95, 64),
    (96, 3),
    (97, 129),
    (191, 17),
    (192, 5),
    (193, 2),
]
SMALL_SHAPES = [shape for shape in SHAPES if shape[0] <= 48] + [(97, 17)]  # extended precision has no BLAS
TEMPERATURES = [0.005, 0.05, 0.5, 10.0, -0.3]
TYPES = [np.float32, np.float64]


def problem(n, d, seed=0):
    """Two views, a queue, a teacher and its queue, and labels, some of which occur once."""
    generator = np.random.default_rng([seed, n, d])
    base, a, b = generator.standard_normal((3, n, d))
    return {
        "a": base + 0.5 * a,
        "b": base + 0.5 * b,
        "queue": generator.standard_normal((n // 2 + 3, d)),
        "teacher": base[:, : d // 2 + 1] + 0.1 * generator.standard_normal((n, d // 2 + 1)),
        "teacher_queue": generator.standard_normal((n // 2 + 3, d // 2 + 1)),
        "labels": generator.integers(0, max(1, n // 3), n),
    }


VARIANTS = {  # the function, the arrays it gets, its options
    "nt_xent": ("nt_xent", ["a", "b"], {}),
    "dcl": ("dcl", ["a", "b"], {}),
    "sup_con": ("sup_con", ["a", "labels"], {}),
    "info_nce": ("info_nce", ["a", "b", None], {}),
    "info_nce_queue": ("info_nce", ["a", "b", "queue"], {}),
    "info_nce_symmetric": ("info_nce", ["a", "b", "queue"], {"symmetric": True}),
    "log_sum_exp": ("row_log_sum_exp", ["a", "queue"], {}),
    "log_sum_exp_self": ("row_log_sum_exp", ["a", None], {}),
    "log_sum_exp_others": ("row_log_sum_exp", ["a", None], {"exclude_self": True}),
    "distillation": ("similarity_distillation", ["a", "teacher", "queue", "teacher_queue"], {"teacher": 0.1}),
    "distillation_one_queue": ("similarity_distillation", ["a", "b", "queue", None], {"teacher": 0.1}),
}


def flat(gradients):
    return np.concatenate(
        [np.ravel(gradient).astype(np.longdouble) for gradient in gradients if gradient is not None]
    )


class Case:
    """One variant at one shape: ours, naive and true values and gradients."""

    def __init__(self, variant, shape, dtype, temperature, normalize):
        self.name, names, options = VARIANTS[variant]
        arrays = problem(*shape)
        self.arrays = [None if name is None else arrays[name] for name in names]
        self.arrays = [a if a is None or a.dtype.kind == "i" else a.astype(dtype) for a in self.arrays]
        options = dict(options)
        self.naive_options = {"tau": temperature, "normalize": normalize} | options
        self.options = {"temperature": temperature, "normalize": normalize} | options
        if "teacher" in options:
            for named, name in ((self.naive_options, "teacher_tau"), (self.options, "teacher_temperature")):
                named[name] = named.pop("teacher")

    def called(self, module):
        loss, (*gradients, by_temperature) = with_grads(module, self.name)(*self.arrays, **self.options)
        return loss, gradients, by_temperature

    def naive(self, dtype):
        arrays = [a if a is None or a.dtype.kind == "i" else a.astype(dtype) for a in self.arrays]
        scalars = {k: dtype(v) if isinstance(v, float) else v for k, v in self.naive_options.items()}
        with np.errstate(all="ignore"):
            return getattr(naive_losses, self.name)(*arrays, **scalars)

    def scales(self, loss, gradients, by_temperature):
        """The scale of errors: the largest true value, or more where that is a difference of larger terms.

        So it is in distillation, a difference of two terms as large as logits and of their gradients, and in
        the gradients of one or two normalised rows or columns, most of which the normalisation takes away.
        """
        slope = 1 / abs(self.options["temperature"])  # of a logit, by a similarity
        shortest = min(np.linalg.norm(a, axis=1).min() for a in self.arrays if a is not None and a.ndim == 2)
        share = slope / (1 if self.name == "row_log_sum_exp" else len(self.arrays[0]))
        distils = self.name == "similarity_distillation"
        narrow = self.options["normalize"] and min(self.arrays[0].shape) <= 2
        largest_logit = 1
        if distils:
            student, queue = (naive_losses.unit(a, self.options["normalize"])[0] for a in self.arrays[:3:2])
            largest_logit = slope * np.max(np.abs(student @ queue.T))
        return {
            "loss": max(1, np.max(np.abs(loss)), largest_logit),
            "gradient": max(
                np.max(np.abs(flat(gradients))),
                share if distils else share / shortest if narrow else 1e-3 * share,
            ),
            "temperature": max(abs(by_temperature), slope),
        }

    def truth(self, dtype):
        if dtype == np.float32:
            return self.called(reference)
        return self.naive(MORE_DIGITS[np.dtype(dtype)])


@functools.cache
def results(variant, dtype, temperature, normalize):
    """Over all shapes: ours, naive and true values, gradients, and gradients of the temperature, scaled."""
    found = {"loss": ([], [], []), "gradient": ([], [], []), "temperature": ([], [], [])}
    for shape in SHAPES if dtype == np.float32 else SMALL_SHAPES:
        case = Case(variant, shape, dtype, temperature, normalize)
        answers = case.called(gramless), case.naive(dtype), case.truth(dtype)
        if not np.all(np.isfinite(flat([answers[2][0]]))):  # of no negative: log 0
            assert np.array_equal(np.isfinite(flat([answers[0][0]])), np.isfinite(flat([answers[2][0]])))
            continue
        scales = case.scales(*answers[2])
        for which, (loss, gradients, by_temperature) in enumerate(answers):
            parts = {"loss": flat([loss]), "gradient": flat(gradients), "temperature": flat([by_temperature])}
            for kind, values in parts.items():
                found[kind][which].append(values / scales[kind])
    return {kind: [np.concatenate(values) for values in lists] for kind, lists in found.items()}


@pytest.mark.parametrize("what", ["loss", "gradient", "temperature"])
@pytest.mark.parametrize("normalize", [True, False], ids=["unit", "raw"])
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("variant", VARIANTS)
def test_as_accurate_as_naive_code(variant, dtype, temperature, normalize, what):
    assert_as_accurate(*results(variant, dtype, temperature, normalize)[what], dtype)

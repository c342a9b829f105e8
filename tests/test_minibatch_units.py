"""Sums over batches in any unit of float64: each layer has its own exponent."""

from __future__ import annotations

import json
import math
import warnings

import gramless
import numpy as np
import pytest
from gramless import MinibatchCKA
from gramless.analysis import cka_interval

SCALES = [1e-300, 1e-150, 1e-100, 1e-77, 1e77, 1e100, 1e150, 1e300]
every_scale = pytest.mark.parametrize("scale", SCALES)
every_kernel = pytest.mark.parametrize("kernel", ["linear", "rbf", "laplace"])


def batches(count=3, n=20):
    generator = np.random.default_rng(0)
    for _ in range(count):
        x = generator.standard_normal((n, 3))
        yield x, x[:, :2] + generator.standard_normal((n, 2)), generator.standard_normal((n, 4))


def accumulated(scale_x=1.0, scale_y=1.0, **options):
    found = MinibatchCKA(**options)
    for x, y, z in batches():
        found.update([x * scale_x, z], [y * scale_y, x])
    return found


@every_scale
@every_kernel
@pytest.mark.parametrize("weighting", ["mean", "pairs"])
def test_the_unit_of_a_layer_plays_no_part(scale, kernel, weighting):
    options = {"kernel": kernel, "weighting": weighting}
    expected = accumulated(**options).compute()
    for scales in ((scale, 1), (1, scale), (scale, scale), (scale, 1 / scale)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.testing.assert_allclose(accumulated(*scales, **options).compute(), expected, rtol=1e-9)


@every_scale
def test_layers_with_themselves_in_units_of_their_own(scale):
    def of_itself(scale):
        found = MinibatchCKA()
        for x, y, z in batches():
            found.update([scale * x, y, z / scale])
        return found.compute()

    np.testing.assert_allclose(of_itself(scale), of_itself(1.0), rtol=1e-9)


@every_scale
def test_states_and_merges_keep_the_units(scale):
    whole = accumulated(scale)
    parts = [MinibatchCKA() for _ in range(3)]
    for part, (x, y, z) in zip(parts, batches(), strict=True):
        part.update([x * scale, z], [y, x])
    first, *others = parts
    for other in others:
        loaded = MinibatchCKA()
        loaded.load_state_dict(json.loads(json.dumps(other.state_dict())))
        first.merge(loaded)
    np.testing.assert_array_equal(first.compute(), whole.compute())


def test_a_state_of_an_earlier_version_loads():
    whole = accumulated()
    state = whole.state_dict()
    for name in ("exponent_x", "exponent_y"):
        assert not np.any(state.pop(name))
    loaded = MinibatchCKA()
    loaded.load_state_dict(state)
    np.testing.assert_array_equal(loaded.compute(), whole.compute())


@pytest.mark.parametrize("wrong", [[0], [0, 0, 0], 0])
def test_exponents_for_other_layers_are_refused(wrong):
    state = accumulated().state_dict() | {"exponent_y": wrong}
    with pytest.raises(ValueError, match=r"^MinibatchCKA\.load_state_dict: exponent_y has shape"):
        MinibatchCKA().load_state_dict(state)


def test_batches_in_different_units_are_weighted_as_their_sums_are():
    """HSIC grows with the fourth power of the unit: a batch at 1 is negligible against one at 1e200."""
    both, alone = MinibatchCKA(), MinibatchCKA()
    (x, y, _), (a, b, _) = batches(2)
    for order in ((1e200, 1.0), (1.0, 1e200)):
        both.reset()
        alone.reset()
        for scale, pair in zip(order, ((x, y), (a, b)), strict=True):
            both.update(pair[0] * scale, pair[1] * scale)
            if scale > 1:
                alone.update(pair[0], pair[1])
        np.testing.assert_allclose(both.compute(), alone.compute(), rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_a_batch_of_constant_rows_adds_nothing(scale):
    found, expected = MinibatchCKA(), MinibatchCKA()
    x, y, _ = next(batches())
    expected.update(x, y)
    found.update(np.ones((20, 3)), y)
    found.update(scale * x, y)
    found.update(np.zeros((20, 3)), 0 * y)
    assert math.isfinite(found.compute()[0, 0])
    with_zeros = MinibatchCKA()
    for rows, others in ((np.ones((20, 3)), y), (x, y), (np.zeros((20, 3)), 0 * y)):
        with_zeros.update(rows, others)
    np.testing.assert_allclose(found.compute(), with_zeros.compute(), rtol=1e-9)


@every_scale
def test_the_metric_keeps_the_units(scale):
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchmetrics")
    from gramless.torch import CKAMetric

    def metric_of(scale, chosen=slice(None)):
        metric = CKAMetric()
        for x, y, z in [*batches()][chosen]:
            metric.update([torch.from_numpy(x * scale), torch.from_numpy(z)], [torch.from_numpy(y)])
        return metric

    expected = metric_of(1.0).compute().numpy()
    metric = metric_of(scale)
    np.testing.assert_allclose(metric.compute().numpy(), expected, rtol=1e-9)
    merged = metric_of(scale, slice(1))
    merged.merge_state(metric_of(scale, slice(1, None)))
    np.testing.assert_allclose(merged.compute().numpy(), expected, rtol=1e-9)
    metric.persistent(True)
    loaded = CKAMetric()
    loaded.persistent(True)
    loaded.load_state_dict(metric.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # for torchmetrics there was no update
        np.testing.assert_array_equal(loaded.compute().numpy(), metric.compute().numpy())
    earlier = {name: value for name, value in metric_of(1.0).metric_state.items() if "exponent" not in name}
    old = CKAMetric()
    old.merge_state(earlier)
    np.testing.assert_allclose(old.compute().numpy(), expected, rtol=1e-12)


EVERYWHERE = {
    "cka": gramless.cka,
    "biased": lambda x, y: gramless.cka(x, y, estimator="biased"),
    "cka_matrix": lambda x, y: gramless.cka_matrix([x], [y]),
    "cka_interval": lambda x, y: cka_interval(x, y).low,
    "groups": lambda x, y: cka_interval(x, y, groups=5).low,
    "chi2": lambda x, y: gramless.independence_test(x, y, kernel="linear", method="chi2").pvalue,
    "permutation": lambda x, y: (
        gramless.independence_test(x, y, kernel="rbf", method="permutation", rng=0, n_resamples=49).pvalue
    ),
}


@every_scale
@pytest.mark.parametrize("call", EVERYWHERE)
def test_extreme_units_play_no_part_elsewhere(scale, call):
    x, y, _ = next(batches())
    expected = EVERYWHERE[call](x, y)
    for a, b in ((scale * x, y), (x, scale * y), (scale * x, scale * y)):
        np.testing.assert_allclose(EVERYWHERE[call](a, b), expected, rtol=1e-9)

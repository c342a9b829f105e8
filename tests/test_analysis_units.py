"""gramless.analysis of data in any unit and far from the origin, compared with direct code in more digits."""

from __future__ import annotations

import gramless.compat
import numpy as np
import pytest
from gramless import analysis

UNITS = [1e-300, 1e-200, 1e200, 1e300]
every_unit = pytest.mark.parametrize("unit", UNITS)


@pytest.fixture
def generator():
    return np.random.default_rng(0)


def classes(generator, n=90):
    labels = generator.integers(0, 4, n)
    return generator.standard_normal((n, 5)) + 2 * generator.standard_normal((4, 5))[labels], labels


def separation_by_pairs(x, labels):
    """From the differences of unit rows, in extended precision."""
    units = x.astype(np.longdouble)
    units /= np.sqrt(np.sum(units**2, axis=1, keepdims=True))
    distance = np.sum((units[:, None] - units) ** 2, axis=-1) / 2
    each = np.unique(labels)

    def mean(j, k):
        return distance[np.ix_(labels == j, labels == k)].mean()

    within = np.mean([mean(k, k) for k in each])
    return float(1 - within / np.mean([mean(j, k) for j in each for k in each]))


@every_unit
def test_the_unit_of_a_row_plays_no_part_in_class_separation(generator, unit):
    x, labels = classes(generator)
    expected = separation_by_pairs(x, labels)
    assert analysis.class_separation(x, labels) == pytest.approx(expected, rel=1e-12)
    assert analysis.class_separation(x * unit, labels) == pytest.approx(expected, rel=1e-12)
    x[::3] *= unit
    assert analysis.class_separation(x, labels) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("offset", [1e3, 1e6, 1e8])
@pytest.mark.parametrize("n", [90, 9000])
def test_an_offset_costs_class_separation_the_digits_it_hides(generator, offset, n):
    """All cosines are 1 up to 1e-16 beside an offset of 1e8: that was an error, as if rows were equal."""
    x, labels = classes(generator, n)
    x += offset
    found = analysis.class_separation(x, labels)
    every = slice(None, None, n // 90)  # n x n differences of a few thousand rows take long
    if n == 90:
        assert found == pytest.approx(separation_by_pairs(x, labels), rel=1e-15 * offset)
    else:
        assert found == pytest.approx(separation_by_pairs(x[every], labels[every]), rel=0.3)
        units = x.astype(np.longdouble)
        units /= np.sqrt(np.sum(units**2, axis=1, keepdims=True))
        means = np.stack([units[labels == k].mean(axis=0) for k in range(4)])
        within = np.mean([np.sum((units[labels == k] - means[k]) ** 2, axis=1).mean() for k in range(4)])
        between = np.sum((means - means.mean(axis=0)) ** 2) / 4
        assert found == pytest.approx(float(between / (within + between)), rel=1e-15 * offset)


def test_rows_of_zeros_and_equal_directions_are_as_before(generator):
    x, labels = classes(generator)
    x[:7] = 0
    units = np.where(x == 0, 0.0, x) / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300)
    distance = 1 - units @ units.T
    weights = 1 / (4 * np.bincount(labels)[labels])
    same = labels[:, None] == labels
    within = np.sum(distance * same * weights * 4 * weights[:, None])
    expected = 1 - within / (weights @ distance @ weights)
    assert analysis.class_separation(x, labels) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="all rows point the same way"):
        analysis.class_separation(generator.uniform(1, 1e9, (50, 1)) * x[8], labels[:50])
    x[9, 1] = np.nan
    assert np.isnan(analysis.class_separation(x, labels))


def series(generator):
    return generator.standard_normal((30, 4)) + np.repeat(
        5 * generator.standard_normal((3, 4)), [8, 12, 10], axis=0
    )


@every_unit
def test_the_unit_of_a_row_plays_no_part_in_segments(generator, unit):
    x = series(generator)
    expected = analysis.segment_rows(x, 3)
    assert expected.boundaries == [8, 20]
    for rows in (x * unit, np.where(np.arange(30)[:, None] % 2, x, x * unit)):
        found = analysis.segment_rows(rows, 3)
        assert found.blocks == expected.blocks
        assert found.cost == pytest.approx(expected.cost, rel=1e-12)


def test_an_offset_hides_no_segments(generator):
    x = series(generator) + 1e8
    found = analysis.segment_rows(x, 3)
    assert found.boundaries == [8, 20]
    units = x.astype(np.longdouble)
    units /= np.sqrt(np.sum(units**2, axis=1, keepdims=True))
    blocks = [units[block.start : block.stop] for block in found.blocks]
    exact = sum(np.sum((block - block.mean(axis=0)) ** 2) for block in blocks)
    assert found.cost == pytest.approx(float(exact), rel=1e-6)
    near_1 = 1 - 1e-12 * (np.arange(30)[:, None] // 10 != np.arange(30) // 10)
    assert analysis.segment(near_1, 3).boundaries == [10, 20]


@every_unit
def test_the_unit_plays_no_part_in_the_dominant_component(generator, unit):
    x = generator.standard_normal((100, 5))
    x[:3] += 40
    expected = analysis.dominant_component(x)
    found = analysis.dominant_component(x * unit)
    assert found.fraction == pytest.approx(expected.fraction, rel=1e-12)
    assert found.direction == pytest.approx(expected.direction, abs=1e-12)
    assert found.scores / unit == pytest.approx(expected.scores, abs=1e-10)
    assert found.share_of(3) == pytest.approx(expected.share_of(3), rel=1e-12)
    assert found.remove(x * unit) / unit == pytest.approx(expected.remove(x), abs=1e-10)


def test_a_column_of_one_value_has_no_variance(generator):
    """Its mean need not be that value: 0.1 summed ten times is not 1."""
    x = generator.standard_normal((10, 3)) * 1e-200
    expected = analysis.dominant_component(x)
    constant = np.full((10, 3), 0.1)
    with pytest.raises(ValueError, match="x has no variance"):
        analysis.dominant_component(constant)
    beside = np.hstack([x, constant])
    assert analysis.dominant_component(beside).fraction == pytest.approx(expected.fraction, rel=1e-12)


@pytest.mark.parametrize("examples", [-1, -5, 6])
def test_a_share_is_that_of_examples_there_are(generator, examples):
    component = analysis.dominant_component(generator.standard_normal((5, 3)))
    with pytest.raises(ValueError, match=f"examples must be from 0 to 5 but is {examples}"):
        component.share_of(examples)
    assert component.share_of(0) == 0
    assert component.share_of(5) == pytest.approx(1)
    with pytest.raises(TypeError, match=r"examples must be an int but is 0\.5"):
        component.share_of(0.5)


def test_compat_lists_its_names():
    assert set(gramless.compat.__all__) <= set(dir(gramless.compat))

"""Tables of pandas and polars are accepted in place of arrays, and raise an error if labels do not match."""

from __future__ import annotations

import gramless as gl
import numpy as np
import pytest
from gramless import compat
from gramless.analysis import cka_interval, class_separation

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((40, 3)), RNG.standard_normal((40, 3))
NAMES = list("abc")
ORDER = RNG.permutation(40)

PAIRED = {
    "cka": lambda x, y: gl.cka(x, y),
    "hsic": lambda x, y: gl.hsic(x, y, kernel="rbf"),
    "rsa": lambda x, y: gl.rsa(x, y),
    "independence_test": lambda x, y: gl.independence_test(x, y, rng=0).pvalue,
    "cka_matrix": lambda x, y: gl.cka_matrix([x], [y])[0, 0],
    "layer_matrix": lambda x, y: gl.layer_matrix({"one": x}, {"two": y}).matrix[0, 0],
    "nt_xent": lambda x, y: gl.nt_xent(x, y),
    "siglip": lambda x, y: gl.siglip(x, y, logit_scale=10.0, logit_bias=-10.0),
    "alignment": lambda x, y: gl.alignment(x, y),
    "cka_interval": lambda x, y: cka_interval(x, y).value,
    "value_and_grad": lambda x, y: gl.value_and_grad(gl.cka)(x, y)[0],
}
UNPAIRED = {
    "mmd": lambda x, y: gl.mmd(x, y),
    "two_sample_test": lambda x, y: gl.two_sample_test(x, y, rng=0).pvalue,
}


class Labels(list):
    def equals(self, other):
        return self == other


class Table:
    """The needed part of a DataFrame's interface, for machines without pandas."""

    ndim = 2

    def __init__(self, values, columns=None, index=None):
        self.values = values
        self.columns = Labels(range(values.shape[1]) if columns is None else columns)
        self.index = Labels(range(len(values)) if index is None else index)
        self.shape = values.shape

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


@pytest.fixture(params=["pandas", "stand-in"])
def table(request):
    make = Table if request.param == "stand-in" else pytest.importorskip("pandas").DataFrame
    return lambda values, columns=None, index=None: make(values, columns=columns, index=index)


@pytest.mark.parametrize("name", [*PAIRED, *UNPAIRED])
def test_tables_are_arrays(table, name):
    call = (PAIRED | UNPAIRED)[name]
    x, y = table(X, NAMES), table(Y, NAMES)
    anew = table(X, NAMES, range(100, 140))  # numbered anew: labels do not identify examples
    for first, second in ((x, y), (x, Y), (anew, y)):
        assert call(first, second) == pytest.approx(call(X, Y), rel=1e-12)


@pytest.mark.parametrize("name", PAIRED)
def test_rows_in_another_order_are_refused(table, name):
    """Paired by position, it would be the CKA of unrelated rows."""
    images = [f"image {i}" for i in range(40)]
    x, shuffled = table(X, NAMES, images), table(X[ORDER], NAMES, [images[i] for i in ORDER])
    with pytest.raises(ValueError, match="have the same row labels in another order") as error:
        PAIRED[name](x, shuffled)
    assert ".index], or .to_numpy() of both to compare rows by position" in str(error.value)
    assert PAIRED[name](x, table(X, NAMES, images)) == PAIRED[name](X, X)


@pytest.mark.parametrize("name", UNPAIRED)
def test_columns_in_another_order_are_refused(table, name):
    x, y = table(X, NAMES), table(Y[:, [0, 2, 1]], ["a", "c", "b"])
    sentence = f"{name}: column 1 is 'b' in x but 'c' in y; give both the same columns in one order"
    with pytest.raises(ValueError, match=sentence):
        UNPAIRED[name](x, y)
    shuffled = table(X[ORDER], NAMES, ORDER.tolist())
    assert UNPAIRED[name](x, shuffled) == UNPAIRED[name](X, X[ORDER])  # samples are not paired
    assert UNPAIRED[name](x, table(Y)) == UNPAIRED[name](X, Y)  # numbers are not names


def test_labels_in_another_order_than_their_rows_are_refused():
    pandas = pytest.importorskip("pandas")
    x, labels = pandas.DataFrame(X), pandas.Series(np.arange(40) % 4)
    assert gl.sup_con(x, labels) == gl.sup_con(X, labels.to_numpy())
    for call in (gl.sup_con, class_separation):
        with pytest.raises(ValueError, match="labels have the same row labels in another order"):
            call(x, labels.iloc[ORDER])


TYPES = ["Float64", "Int32", "float32[pyarrow]", "int8[pyarrow]"]


@pytest.mark.parametrize("dtype", TYPES)
def test_columns_of_pandas_own_dtypes_are_numbers_where_none_is_missing(dtype):
    pandas = pytest.importorskip("pandas")
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    whole = np.round(10 * X)
    x = pandas.DataFrame(whole, columns=NAMES).astype(dtype)
    for table in (x, x.assign(b=x["b"] > 0, c=whole[:, 2])):  # of several dtypes
        expected = np.column_stack([table[name].to_numpy(float) for name in NAMES])
        assert gl.cka(table, Y) == pytest.approx(gl.cka(expected, Y), rel=1e-12)
        assert cka_interval(Y, table).low == pytest.approx(cka_interval(Y, expected).low, rel=1e-12)
    missing = x.mask(x > 9)
    for call in (gl.cka, cka_interval, gl.reference.cka):
        with pytest.raises(TypeError, match="must hold real numbers but has dtype object"):
            call(missing, Y)


@pytest.mark.parametrize("groups", [None, 5])
def test_nan_and_roundings_of_tables_are_those_of_arrays(table, groups):
    """The truth value of a column was computed, and float32 had the rounding of float64."""
    x = X.copy()
    x[3, 1] = np.nan
    assert np.isnan(cka_interval(table(x, NAMES), Y, groups=groups).value)
    alike = np.outer(np.linspace(1, 2, 40), [1, 2, 3]).astype(np.float32)
    with pytest.warns(RuntimeWarning, match="not defined"):
        assert np.isnan(cka_interval(table(alike, NAMES), Y, kernel=gl.Cosine(), groups=groups).value)


IMAGES = [f"image {i}" for i in range(40)]
LABELLED = {  # rows of x, and what belongs to them or is paired with them
    "ids": lambda x, i: gl.info_nce(X, x, ids=i),
    "ids of keys and a queue": lambda x, i: gl.info_nce(X[:20], x[:20], x[20:], ids=i),
    "gram": lambda x, i: compat.cka(compat.gram_linear(x), compat.gram_rbf(x.loc[i.index])),
    "gram and matrix": lambda x, i: compat.cka(compat.gram_linear(x), (x @ x.T).loc[i.index, i.index]),
    "mask": lambda x, i: gl.sup_con(x, mask=(x @ x.T).loc[i.index] > 0),
    "mask's columns": lambda x, i: gl.sup_con(x, mask=(x @ x.T)[i.index] > 0),
    "queues of a student": lambda x, i: gl.similarity_distillation(X, Y, x, x.loc[i.index]),
    "MinibatchCKA": lambda x, i: compat.MinibatchCKA().update_state([x, x.loc[i.index]]),
}


@pytest.mark.parametrize("name", LABELLED)
def test_what_belongs_to_rows_in_another_order_is_refused(name):
    pandas = pytest.importorskip("pandas")
    x, ids = pandas.DataFrame(X, IMAGES, NAMES), pandas.Series(np.arange(40) // 2, IMAGES)
    LABELLED[name](x, ids)
    shuffled = ids.iloc[[*ORDER[ORDER < 20], *ORDER[ORDER >= 20]]]
    with pytest.raises(ValueError, match=r"the (same row labels|row labels of keys) in another order; pass"):
        LABELLED[name](x, shuffled)


KEYS = {  # arrays whose rows are other examples
    "row_log_sum_exp": lambda x, y: gl.row_log_sum_exp(x, y).sum(),
    "queue": lambda x, y: gl.moco(x, x, y),
    "negatives": lambda x, y: gl.info_nce(x, x, negatives=y),
    "queue of a student": lambda x, y: gl.similarity_distillation(x, x, y),
}


@pytest.mark.parametrize("name", [*KEYS, "nt_xent", "siglip"])
def test_columns_of_products_in_another_order_are_refused(name, table):
    call = (KEYS | PAIRED)[name]
    x, swapped = table(X, NAMES), table(Y[:, [0, 2, 1]], ["a", "c", "b"])
    with pytest.raises(
        ValueError,
        match=rf"{name.split()[0] if name in PAIRED else ''}.* have the same columns in "
        r"another order; pass \w+\[\w+\.columns\], or \.to_numpy\(\) of both to multiply",
    ):
        call(x, swapped)
    assert call(x, table(Y, list("def"))) == call(X, Y)  # each model may have its own names


@pytest.mark.parametrize("name", KEYS)
def test_rows_that_are_not_paired_may_be_in_any_order(name, table):
    shuffled = table(X[ORDER], NAMES, [IMAGES[i] for i in ORDER])
    assert KEYS[name](table(X, NAMES, IMAGES), shuffled) == KEYS[name](X, X[ORDER])


def test_tables_without_numbers_are_one_sentence():
    pandas = pytest.importorskip("pandas")
    x = pandas.DataFrame(X, columns=NAMES)
    for bad in (x.assign(a="text"), x.astype("Float64").mask(x > 1)):
        with pytest.raises(TypeError, match=r"^cka: y must hold real numbers but has dtype object"):
            gl.cka(x, bad)


def test_polars_has_columns_and_no_rows():
    polars = pytest.importorskip("polars")
    x, y = (polars.DataFrame(values, schema=NAMES) for values in (X, Y))
    assert gl.cka(x, y) == gl.cka(X, Y)
    assert gl.mmd(x, y) == gl.mmd(X, Y)
    with pytest.raises(ValueError, match="column 1 is 'b' in x but 'c' in y"):
        gl.mmd(x, y.select("a", "c", "b"))


MASKED = np.ma.masked_array(X, X > 1)
LABELS = np.ma.masked_array(np.arange(40) % 4, np.arange(40) < 3)
IGNORING = {
    "cka_interval: x": lambda: cka_interval(MASKED, Y),
    "class_separation: x": lambda: class_separation(MASKED, np.arange(40) % 4),
    "class_separation: labels": lambda: class_separation(X, LABELS),
    "sup_con: labels": lambda: gl.sup_con(X, LABELS),
    "hsic: x": lambda: gl.reference.hsic(MASKED, Y),
    "layer_matrix: mask": lambda: gl.layer_matrix(
        [X.reshape(10, 4, 3)], [Y[:10]], pool="mean", mask=np.ma.masked_array(np.ones((10, 4)), True)
    ),
    "cka: gram_x": lambda: compat.cka(np.ma.masked_array(X @ X.T, True), Y @ Y.T),
}


@pytest.mark.parametrize("name", IGNORING)
def test_masked_arrays_are_refused_where_their_mask_would_be_ignored(name):
    with pytest.raises(TypeError, match=f"^{name} is a masked array, whose mask would be ignored"):
        IGNORING[name]()


@pytest.mark.parametrize("labels", [["1", 1] * 20, [b"a", "a"] * 20, ("a", None) * 20])
def test_labels_that_become_text_are_not_mixed(labels):
    """numpy would convert 1 and "1" to one label."""
    with pytest.raises(TypeError, match=r"^sup_con: labels must be integers or text but h"):
        gl.sup_con(X, labels)


def test_tokens_that_are_no_real_numbers_are_refused():
    """Earlier the imaginary part was dropped, and 8-bit integers were averaged."""
    tokens = X.reshape(10, 4, 3)
    with pytest.raises(
        TypeError, match=r"^layer_matrix: xs\[0\] must hold real numbers but has dtype complex"
    ):
        gl.layer_matrix([tokens + 1j], [Y[:10]], pool="mean")
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"must hold real numbers but has dtype torch\.float8"):
        gl.layer_matrix([torch.tensor(tokens).to(torch.float8_e5m2)], [Y[:10]], pool="mean")

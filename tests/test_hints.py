"""A call that fits another function raises one error with the name of that function."""

from __future__ import annotations

import gramless
import numpy as np
import pytest

X = np.random.default_rng(0).standard_normal((12, 5))
LABELS = np.arange(12) % 4
FOR_LABELS = r"labels of rows are for sup_con, or for gramless\.compat\.NTXentLoss$"
MATRICES = [("hsic", "hsic_matrix"), ("cka", "cka_matrix"), ("rsa", "rsa_matrix")]
SCALES = {"logit_scale": 1.0, "logit_bias": 0.0}
CALLS = {  # the call, and the end of its error
    "labels for a view": (lambda: gramless.nt_xent(X, LABELS), FOR_LABELS),
    "a list of labels": (lambda: gramless.dcl(X, LABELS.tolist()), FOR_LABELS),
    "labels for keys": (lambda: gramless.info_nce(X, LABELS), FOR_LABELS),
    "labels for texts": (lambda: gramless.siglip(X, LABELS, **SCALES), FOR_LABELS),
    "labels for k": (lambda: gramless.moco(X, LABELS, X), FOR_LABELS),
    "views for labels": (
        lambda: gramless.sup_con(X, X),
        r"two views of each example are for nt_xent\(z_a, z_b\)$",
    ),
    "a mask for labels": (
        lambda: gramless.sup_con(X, np.eye(12)),
        "a matrix of positives is passed as mask=$",
    ),
    "one feature": (lambda: gramless.cka(X, LABELS), r"one feature is a column, of shape \(12, 1\)$"),
    "one feature in a list": (lambda: gramless.mmd(X[:, :1], [1.0, 2.0]), r"a column, of shape \(2, 1\)$"),
    "a layer of one feature": (lambda: gramless.cka_matrix([X, LABELS]), r"a column, of shape \(12, 1\)$"),
    "a batch of one feature": (
        lambda: gramless.MinibatchCKA().update(X, LABELS),
        r"^MinibatchCKA\.update: ys must .* has shape \(12,\); one feature is a column, of shape \(12, 1\)$",
    ),
    "a value for a function": (
        lambda: gramless.value_and_grad(gramless.nt_xent(X, X)),
        r"^value_and_grad: \d\.\d+ is not one .*; pass the function first and its arguments to the result",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_is_meant_for_another_function_names_it(name):
    call, sentence = CALLS[name]
    with pytest.raises((TypeError, ValueError), match=sentence) as raised:
        call()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("pair", "matrix"), MATRICES)
def test_layers_are_for_the_function_of_all_pairs_and_arrays_for_that_of_one(pair, matrix):
    of_one, of_all = getattr(gramless, pair), getattr(gramless, matrix)
    for layers in ([X, X], [X, X[:, :2]], (X, X[:, :2], X)):
        with pytest.raises(
            (TypeError, ValueError), match=f"^{pair}: .*several layers are compared by {matrix}$"
        ):
            of_one(layers, layers)
    with pytest.raises(TypeError, match=f"^{pair}: .* is dict; .*layers .* compared by {matrix}"):
        of_one({"a": X}, {"a": X})
    with pytest.raises(
        ValueError, match=rf"^{matrix}: .* shape \(12, 5\); two arrays are compared by {pair}$"
    ):
        of_all(X, X)


@pytest.mark.parametrize("matrix", [gramless.rsa_matrix, gramless.reference.cka_matrix])
def test_a_function_without_names_says_how_to_pass_the_layers_of_a_mapping(matrix):
    layers = {"a": X, "b": X[:, :2]}
    for name, arguments in (("xs", (layers,)), ("ys", ([X], layers))):
        with pytest.raises(
            TypeError, match=rf"_matrix: {name} must .* dict; pass .* names, \[\*{name}\.values\(\)\]$"
        ):
            matrix(*arguments)
    assert matrix([*layers.values()]).shape == (2, 2)


def test_the_hint_for_a_mapping_names_a_function_that_takes_one():
    layers = {"a": X, "b": X[:, :2]}
    with pytest.raises(TypeError, match=r"^mutual_knn: .*; layers with names are .* by mutual_knn_matrix$"):
        gramless.mutual_knn(layers, X, k=2)
    assert gramless.mutual_knn_matrix(layers, k=2).matrix.shape == (2, 2)
    with pytest.raises(TypeError, match=r"^rsa: .* compared by rsa_matrix, without their names$"):
        gramless.rsa(layers, layers)


def test_layers_that_are_no_sequence_are_to_be_a_list():
    for layers in ({"a": X}.values(), (x for x in [X])):
        with pytest.raises(TypeError, match=r"^cka_matrix: xs must be .*; pass a list of them, \[\*xs\]$"):
            gramless.cka_matrix(layers)


def test_what_is_no_array_at_all_is_named():
    with pytest.raises(TypeError, match=r"^cka: y must be a two-dimensional array but is object$"):
        gramless.cka(X, object())


class Calls:
    """Those of torch, made when they are tested."""

    def __init__(self, torch):
        from gramless import compat
        from gramless import torch as ours

        z, labels = torch.randn(12, 5), torch.arange(12) % 4
        of_views = torch.randn(4, 3, 5)
        net = torch.nn.Sequential(torch.nn.Linear(5, 2), torch.nn.ReLU())
        models = r"models are compared by gramless\.torch\.compare_models$"
        made = r"construct the loss first and pass the rows to it, {}\(\)\(\.\.\.\)$"
        views = r"two views of each example are for nt_xent\(z_a, z_b\)$"
        bank = ours.NTXentLoss(memory_bank_size=(8, 5))
        self.refused = {
            "a loss of views": (lambda: ours.NTXentLoss()(z, labels), FOR_LABELS),
            "with a memory bank": (lambda: bank(z, labels), FOR_LABELS),
            "decoupled": (lambda: ours.DCLWLoss()(z, labels), FOR_LABELS),
            "of texts": (lambda: ours.CLIPLoss()(z, labels), FOR_LABELS),
            "of texts with a scale": (lambda: ours.CLIPLoss()(z, labels, 2.0), FOR_LABELS),
            "sigmoid": (lambda: ours.SigLIPLoss()(z, labels), FOR_LABELS),
            "open_clip's": (lambda: compat.ClipLoss()(z, labels, 2.0), FOR_LABELS),
            "of classes": (lambda: ours.SupConLoss()(z, z), views),
            "of views of classes": (lambda: ours.SupConLoss()(of_views, z[:4]), views),
            **{
                loss: (lambda loss=loss: getattr(ours, loss)(z, labels), made.format(loss))
                for loss in ("NTXentLoss", "DCLLoss", "DCLWLoss", "SupConLoss", "CLIPLoss", "SigLIPLoss")
            },
            "CKALoss": (lambda: ours.CKALoss(z, z), made.format("CKALoss")),
            "an array to the class": (lambda: ours.MoCoLoss(X), made.format("MoCoLoss")),
            "a model": (lambda: gramless.cka(net, net), models),
            "models": (lambda: gramless.cka_matrix(net), models),
            "a loader": (
                lambda: gramless.cka(z, torch.utils.data.DataLoader(z)),
                "y must be a two-dimensional array but is DataLoader$",
            ),
            "tensors": (
                lambda: ours.compare_models(z, z, [z]),
                r"to compare arrays use gramless\.cka, or gramless\.layer_matrix for layers as arrays$",
            ),
        }


def test_so_is_one_of_torch():
    refused = Calls(pytest.importorskip("torch")).refused
    for name, (call, sentence) in refused.items():
        with pytest.raises((TypeError, ValueError), match=sentence) as raised:
            call()
        assert "\n" not in str(raised.value), name


def test_labels_of_views_may_be_an_array_or_a_list():
    torch = pytest.importorskip("torch")
    from gramless.torch import SupConLoss

    z, labels = torch.randn(6, 2, 5), torch.tensor([0, 1, 0, 2, 1, 0])
    for given in (labels.numpy(), labels.tolist(), list("abacba")):
        assert SupConLoss()(z, given) == SupConLoss()(z, labels)
        assert SupConLoss()(z[:, 0], given) == SupConLoss()(z[:, 0], labels)


class Sparse:
    """The interface of sparse arrays of scipy and others: a size, and a method that makes them dense."""

    nnz, ndim, shape = 3, 2, (12, 5)

    def toarray(self):
        return X


def sparse_arrays():
    yield Sparse(), "toarray"
    scipy = pytest.importorskip("scipy.sparse")
    for kind in ("csr_matrix", "coo_array", "dia_array"):
        yield getattr(scipy, kind)(X), "toarray"


SPARSE = [
    ("cka: y", lambda x: gramless.cka(X, x)),
    ("hsic: x", lambda x: gramless.hsic(x, X, kernel="rbf")),
    ("nt_xent: z_b", lambda x: gramless.nt_xent(X, x)),
    ("sup_con: labels", lambda x: gramless.sup_con(X, x)),
    ("sup_con: mask", lambda x: gramless.sup_con(X, mask=x)),
    (r"cka_matrix: xs\[1\]", lambda x: gramless.cka_matrix([X, x])),
    ("median_distance: x", lambda x: gramless.median_distance(x)),
    ("independence_test: y", lambda x: gramless.independence_test(X, x)),
    ("layer_matrix: .*a.*", lambda x: gramless.layer_matrix({"a": x, "b": X})),
    (r"MinibatchCKA\.update: xs\[0\]", lambda x: gramless.MinibatchCKA().update([x, X])),
    ("rsa: x", lambda x: gramless.rsa(x, X)),
    ("cka: x", lambda x: gramless.reference.cka(x, X)),
    ("sup_con: mask", lambda x: gramless.reference.sup_con(X, mask=x)),
]


@pytest.mark.parametrize(("name", "call"), SPARSE)
def test_a_sparse_array_is_called_so(name, call):
    for x, dense in sparse_arrays():
        sentence = rf"^{name} must be dense but is sparse, {type(x).__name__}; pass .*\.{dense}\(\)$"
        with pytest.raises(TypeError, match=sentence):
            call(x)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_a_sparse_tensor_is_called_so():
    torch = pytest.importorskip("torch")
    x = torch.randn(6, 4)
    for sparse in (x.to_sparse(), x.to_sparse_csr()):
        for call in (lambda y: gramless.cka(x, y), lambda y: gramless.cka_matrix([x], [y])):
            with pytest.raises(TypeError, match=r"layout torch\.sparse_\w+; pass y(s\[0\])?\.to_dense\(\)$"):
                call(sparse)


def test_a_file_of_a_sparse_matrix_is_called_so(tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    from gramless._formats import FileError, open_npz

    sparse.save_npz(tmp_path / "x.npz", sparse.csr_array(X))
    with pytest.raises(
        FileError, match=r"^x\.npz: a sparse matrix of scipy, not layers; save x\.toarray\(\)$"
    ):
        open_npz(tmp_path / "x.npz")


def test_dir_shows_modules_that_can_be_loaded():
    for name in dir(gramless):
        assert hasattr(gramless, name)

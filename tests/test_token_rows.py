"""Rows that are tokens where examples are expected: the error names a solution, which works."""

from __future__ import annotations

import re

import gramless
import numpy as np
import pytest
from gramless import reference
from gramless.analysis import cka_interval

N, TOKENS = 12, 5
RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((N, 4))
TOKEN_ROWS = RNG.standard_normal((N * TOKENS, 3))
MEANS = TOKEN_ROWS.reshape(N, TOKENS, 3).mean(1)

PAIRS = {
    "hsic": gramless.hsic,
    "cka": gramless.cka,
    "independence_test": gramless.independence_test,
    "cka_interval": cka_interval,
    "reference.cka": reference.cka,
    "reference.hsic": reference.hsic,
}
MATRICES = {
    "hsic_matrix": gramless.hsic_matrix,
    "cka_matrix": gramless.cka_matrix,
    "MinibatchCKA": lambda xs, ys: gramless.MinibatchCKA().update(xs, ys),
    "reference.cka_matrix": reference.cka_matrix,
}


def sentence_of(call, *arguments):
    with pytest.raises(ValueError, match=r"has \d+ rows but .* has \d+;") as found:
        call(*arguments)
    assert "\n" not in str(found.value)
    return str(found.value)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_what_the_error_of_a_pair_says_works(name, kind):
    convert = np.asarray
    if kind == "tensor":
        convert = pytest.importorskip("torch").from_numpy
    call, rows, tokens = PAIRS[name], convert(ROWS), convert(TOKEN_ROWS)
    sentence = sentence_of(call, rows, tokens)
    assert "if y has 5 tokens for each example" in sentence
    averaged, flattened = re.findall(r"y\.reshape\(12, [^ ,]*,? ?-1\)(?:\.mean\(1\))?", sentence)
    np.testing.assert_allclose(eval(averaged, {"y": tokens}), MEANS, rtol=1e-12)
    np.testing.assert_array_equal(eval(flattened, {"y": tokens}), TOKEN_ROWS.reshape(N, -1))
    call(rows, eval(averaged, {"y": tokens}))
    assert "x.reshape(12, 5, -1).mean(1)" in sentence_of(call, tokens, rows)


@pytest.mark.parametrize("name", MATRICES)
def test_the_layer_that_has_tokens_is_named(name):
    assert "xs[1].reshape(12, 5, -1).mean(1)" in sentence_of(MATRICES[name], [ROWS, TOKEN_ROWS], [ROWS])
    assert "xs[0].reshape(12, 5, -1).mean(1)" in sentence_of(MATRICES[name], [TOKEN_ROWS], [ROWS])


def test_other_numbers_of_rows_get_no_such_advice():
    for other in (TOKEN_ROWS[:-1], TOKEN_ROWS[:7], TOKEN_ROWS[:1]):
        with pytest.raises(ValueError, match=r"x has 12 rows but y has \d+$"):
            gramless.cka(ROWS, other)
    with pytest.raises(ValueError, match=r"z_a has 12 rows but z_b has 60$"):
        gramless.nt_xent(ROWS[:, :3], TOKEN_ROWS)


@pytest.mark.parametrize("name", PAIRS)
def test_what_the_error_of_a_transposed_array_says_works(name):
    call, turned = PAIRS[name], np.ascontiguousarray(TOKEN_ROWS[:N].T)
    assert sentence_of(call, ROWS, turned).endswith("; pass y.T if the columns of y are the examples")
    assert sentence_of(call, turned, ROWS).endswith("; pass x.T if the columns of x are the examples")
    call(ROWS, turned.T)
    both = sentence_of(call, ROWS, ROWS.T)
    assert both.endswith(
        "; pass y.T if the columns of y are the examples, or pass x.T if the columns of x are the examples"
    )


def test_the_layer_that_is_transposed_is_named():
    for call in MATRICES.values():
        assert "pass xs[1].T if" in sentence_of(call, [ROWS, TOKEN_ROWS[:N].T], [ROWS])


def test_more_dimensions_say_what_to_do():
    with pytest.raises(ValueError, match=r"y must have 2 dimensions .* flatten, y\.reshape\(12, -1\)$"):
        gramless.cka(ROWS, TOKEN_ROWS.reshape(N, TOKENS, 3))


def test_files_with_tokens_for_rows_say_what_to_do(tmp_path):
    pytest.importorskip("click")
    pytest.importorskip("rich")
    from commands import read_csv, refused, run

    np.savez(tmp_path / "a.npz", pooled=ROWS)
    np.savez(tmp_path / "b.npz", hidden=TOKEN_ROWS)
    sentence = refused("compare", tmp_path / "a.npz", tmp_path / "b.npz")
    assert (
        "if 'hidden' has 5 tokens for each example, save it as (12, 5, features) and pass --pool" in sentence
    )
    np.savez(tmp_path / "b.npz", hidden=TOKEN_ROWS.reshape(N, TOKENS, 3))
    options = re.search(r"--pool \w+ --layout \w+", sentence)[0].split()
    done = run("compare", tmp_path / "a.npz", tmp_path / "b.npz", *options, "--csv", "-")
    assert read_csv(done.stdout)[2][0, 0] == pytest.approx(gramless.cka(ROWS, MEANS))


class Tokens:
    """Models, made where torch is."""

    def __init__(self):
        torch = pytest.importorskip("torch")

        class Merged(torch.nn.Module):
            """(examples, tokens, features) to (examples x tokens, features) in a way no rule follows."""

            def forward(self, x):
                return torch.masked_select(x, x == x).view(-1, x.shape[-1])

        self.net = torch.nn.Sequential(torch.nn.Linear(3, 4), Merged())
        self.x = torch.from_numpy(TOKEN_ROWS.reshape(N, TOKENS, 3)).float()


def test_what_the_error_of_a_layer_says_works():
    made = Tokens()
    from gramless.torch import compare_models

    sentence = r"layer '1' of model_a returns shape \(60, 4\) for a batch of 12 examples"
    with pytest.raises(ValueError, match=sentence) as found:
        compare_models(made.net, None, [made.x], layers=["1"], progress=False)
    advised, pooled = eval(re.search(r"lambda x: .*", str(found.value))[0]), []

    def pool(x):
        pooled.append(advised(x))
        return pooled[-1]

    result = compare_models(made.net, None, made.x.split(7), layers=["1"], pool=pool, progress=False)
    assert result.settings["examples"] == N
    means = made.net[0](made.x).mean(1).detach().numpy()
    np.testing.assert_allclose(np.concatenate(pooled), means, rtol=1e-5, atol=1e-6)


def test_a_list_of_layers_left_out_does_not_repeat_the_advice():
    made = Tokens()
    from gramless.torch import compare_models

    with pytest.warns(UserWarning, match="its rows are not the examples") as caught:
        result = compare_models(made.net, None, [made.x], progress=False)
    assert "pool=" not in str(caught[0].message) + repr(result)


def test_two_dataloaders_of_which_one_yields_tokens():
    torch = pytest.importorskip("torch")
    from gramless.torch import compare_models

    nets = torch.nn.Linear(4, 2), torch.nn.Linear(3, 2)
    loaders = [torch.from_numpy(ROWS).float()], [torch.from_numpy(TOKEN_ROWS).float()]
    sentence = r"the second yields 5 tokens .* reshape its batches to \(12, 5, features\)$"
    with pytest.raises(ValueError, match=sentence):
        compare_models(*nets, *loaders, progress=False)
    loaders[1][0] = loaders[1][0].reshape(N, TOKENS, 3)
    assert compare_models(*nets, *loaders, progress=False).matrix.shape == (1, 1)

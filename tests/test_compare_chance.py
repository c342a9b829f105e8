"""z and p-values of compare_models and of the command line, and unmodified caches of activation tools."""

from __future__ import annotations

import gramless as gl
import numpy as np
import pytest
from commands import refused, run

pytest.importorskip("torch")

import torch
from gramless.torch import compare_models
from torch import nn


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5))


def batches(n, seed=0):
    return list(torch.randn(n, 6, generator=torch.manual_seed(seed)).split(16))


@pytest.mark.parametrize(("n", "method"), [(32, "permutation"), (48, "chi2")])
def test_models_have_the_z_of_their_layers(net, n, method):
    found = compare_models(net, None, batches(n), progress=False, rng=0)
    x = torch.cat(batches(n))
    rows = {name: net[: i + 1](x).detach() for i, name in enumerate(("0", "1", "2"))}
    expected = gl.layer_matrix(rows, rng=0)
    assert (found.n, found.settings["pvalue"]) == (n, method)
    assert found.z == pytest.approx(expected.z, rel=1e-5)
    assert found.pvalue == pytest.approx(expected.pvalue, rel=1e-3)
    assert found.pvalue_corrected == pytest.approx(expected.pvalue_corrected, rel=1e-3)


def test_minibatches_have_none_and_say_so(net):
    found = compare_models(net, None, batches(48), method="minibatch", progress=False)
    assert (found.z, found.pvalue, found.n) == (None, None, 48)
    with pytest.raises(ValueError, match=r"^LayerMatrix.within_chance: there are no p-values"):
        found.within_chance()
    sentence = r"^compare_models: pvalue='chi2' needs method=\"exact\" but it is \"minibatch\"$"
    with pytest.raises(ValueError, match=sentence):
        compare_models(net, None, batches(48), method="minibatch", pvalue="chi2")


def test_a_method_that_does_not_fit_is_refused_before_the_models_run(net):
    net[0].register_forward_hook(lambda *_: pytest.fail("the model ran"))
    with pytest.raises(ValueError, match=r"^compare_models: pvalue='gamma' is not defined for the unbiased"):
        compare_models(net, None, batches(48), pvalue="gamma", progress=False)
    with pytest.raises(ValueError, match=r"^compare_models: rng must be None, an int"):
        compare_models(net, None, batches(48), rng=-1, progress=False)


@pytest.fixture
def saved(tmp_path):
    generator = np.random.default_rng(0)
    x = generator.standard_normal((30, 6))
    path = tmp_path / "a.npz"
    np.savez(path, conv=x, relu=np.maximum(x, 0), noise=generator.standard_normal((30, 4)))
    return path


def test_the_command_says_what_is_within_chance(saved, tmp_path):
    shown = " ".join(run("compare", saved, "--rng", "0", "--n-resamples", "99").stdout.split())
    assert "p, corrected" in shown
    assert "4 of 9 cells within chance (corrected p > 0.05; 99 permutations, maximum over 3 cells)" in shown
    shown = " ".join(run("compare", saved, "--pvalue", "chi2", "--alpha", "0.001").stdout.split())
    assert "cells within chance (corrected p > 0.001; chi2, Holm over 3 cells)" in shown
    assert "chance" not in run("compare", saved, "--pvalue", "none").stdout
    run("compare", saved, "--rng", "0", "--out", tmp_path / "heatmap.png", "--quiet")
    assert (tmp_path / "heatmap.png").stat().st_size > 1000


def test_the_command_refuses_what_does_not_fit(saved):
    assert "pvalue='t' is not defined for the biased estimator" in refused(
        "compare", saved, "--pvalue", "t", "--estimator", "biased"
    )

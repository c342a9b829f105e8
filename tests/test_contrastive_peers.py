"""The results of other packages, against gramless and the reference: to 1e-6, on the inputs they accept.

lightly and solo-learn depend on much that a loss does not need, such as torchvision. The files of their
losses are tested where they are found alone (pip install --no-deps lightly==1.6.0 solo-learn==1.0.2); the
formulas they document, everywhere.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from pathlib import Path

import gramless
import numpy as np
import pytest
from gradients import with_grads
from gramless import reference

torch = pytest.importorskip("torch")

PROBLEMS = {  # n, d, temperature
    "small": (4, 3, 0.5),
    "usual": (48, 32, 0.1),
    "cold": (17, 8, 0.03),
    "hot": (20, 5, 10.0),
    "one_dimension": (5, 1, 0.5),
}
every_problem = pytest.mark.parametrize("problem", PROBLEMS)


def views(problem):
    n, d, temperature = PROBLEMS[problem]
    generator = np.random.default_rng([n, d])
    base, a, b = generator.standard_normal((3, n, d))
    return base + 0.5 * a, base + 0.5 * b, temperature


def of_torch(loss, *arrays):
    """The value and the gradients of a torch loss."""
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    value = loss(*tensors)
    value.backward()
    return value.item(), [tensor.grad.numpy() for tensor in tensors]


def assert_agree(ours, theirs):
    """(loss, gradients) and (loss, gradients), the gradients relative to their largest entry."""
    assert ours[0] == pytest.approx(theirs[0], rel=1e-6, abs=1e-6)
    for gradient, expected in zip(ours[1], theirs[1], strict=True):
        assert np.abs(gradient - expected).max() <= 1e-6 * max(1e-3, np.abs(expected).max())


def without_temperature(value_and_grad):
    loss, (*gradients, _) = value_and_grad
    return loss, gradients


@pytest.fixture(params=[gramless, reference], ids=["gramless", "reference"])
def package(request):
    return request.param


@every_problem
def test_nt_xent_is_lightlys(package, lightly_loss, problem):
    a, b, temperature = views(problem)
    loss = lightly_loss("ntx_ent_loss", "NTXentLoss")
    for tau in (temperature, -temperature):
        assert_agree(
            without_temperature(with_grads(package, "nt_xent")(a, b, temperature=tau)),
            of_torch(loss(temperature=tau), a, b),
        )


@every_problem
def test_dcl_is_lightlys(package, lightly_loss, problem):
    a, b, temperature = views(problem)
    assert_agree(
        without_temperature(with_grads(package, "dcl")(a, b, temperature=temperature)),
        of_torch(lightly_loss("dcl_loss", "DCLLoss")(temperature=temperature), a, b),
    )


@every_problem
def test_nt_xent_is_solo_learns(package, problem):
    found = importlib.util.find_spec("solo")
    if found is None:
        pytest.skip("solo-learn is not installed")
    file = Path(next(iter(found.submodule_search_locations)), "losses", "simclr.py")
    spec = importlib.util.spec_from_file_location("simclr_of_solo_learn", file)
    simclr = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(simclr)
    a, b, temperature = views(problem)
    assert_agree(
        without_temperature(with_grads(package, "nt_xent")(a, b, temperature=temperature)),
        of_torch(lambda a, b: simclr.simclr_loss_func(a, b, temperature), a, b),
    )


@every_problem
@pytest.mark.parametrize("symmetric", [True, False], ids=["nt_xent", "info_nce"])
def test_nt_xent_and_info_nce_are_pytorch_metric_learnings(package, problem, symmetric):
    """Without symmetric=True its SelfSupervisedLoss contrasts the first view with the second alone."""
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    a, b, temperature = views(problem)
    ours = with_grads(package, "nt_xent") if symmetric else with_grads(package, "info_nce")
    theirs = losses.SelfSupervisedLoss(losses.NTXentLoss(temperature=temperature), symmetric=symmetric)
    assert_agree(without_temperature(ours(a, b, temperature=temperature)), of_torch(theirs, a, b))


@pytest.mark.parametrize("problem", [name for name in PROBLEMS if name != "one_dimension"])
def test_sup_con_is_pytorch_metric_learnings(package, problem):
    """Single rows included. In one dimension some losses are exactly 0, which it does not average."""
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    a, _, temperature = views(problem)
    labels = np.random.default_rng(0).integers(0, max(2, len(a) // 4), len(a))
    labels[0] = 1000
    supervised = losses.SupConLoss(temperature=temperature)
    assert_agree(
        without_temperature(with_grads(package, "sup_con")(a, labels, temperature=temperature)),
        of_torch(lambda z: supervised(z, torch.tensor(labels)), a),
    )


@pytest.mark.parametrize("problem", ["usual", "cold", "one_dimension"])
def test_nt_xent_is_optaxs(package, problem):
    optax, jax = pytest.importorskip("optax"), pytest.importorskip("jax")
    a, b, temperature = views(problem)
    labels = np.tile(np.arange(len(a)), 2)
    with jax.enable_x64(True):
        value_and_grad = jax.value_and_grad(optax.losses.ntxent)
        loss, gradient = value_and_grad(np.concatenate([a, b]), labels, temperature)
        theirs = float(loss), np.split(np.asarray(gradient), 2)
    ours = without_temperature(with_grads(package, "nt_xent")(a, b, temperature=temperature))
    assert_agree(ours, theirs)


def cross_entropy_of_normalised(a, b, temperature):
    """NT-Xent as lightly documents it: the cross entropy of the other view among the 2n - 1 other rows."""
    z = torch.nn.functional.normalize(torch.cat([a, b]), dim=1)
    s = (z @ z.T / temperature).fill_diagonal_(-math.inf)
    partner = torch.arange(2 * len(a)).roll(len(a))
    return torch.nn.functional.cross_entropy(s, partner)


@every_problem
def test_nt_xent_is_the_cross_entropy_of_the_other_view(package, problem):
    a, b, temperature = views(problem)
    for tau in (temperature, -temperature):
        assert_agree(
            without_temperature(with_grads(package, "nt_xent")(a, b, temperature=tau)),
            of_torch(lambda a, b, tau=tau: cross_entropy_of_normalised(a, b, tau), a, b),
        )


@every_problem
def test_nt_xent_is_half_of_simclrs(package, problem):
    """The authors' code adds the means over the anchors of both views (Chen et al. 2020)."""

    def simclr(a, b):
        a, b = (torch.nn.functional.normalize(z, dim=1) for z in (a, b))
        own = torch.arange(len(a))
        total = 0
        for one, other in ((a, b), (b, a)):
            same = (one @ one.T / temperature).fill_diagonal_(-1e9)
            s = torch.cat([one @ other.T / temperature, same], dim=1)
            total = total + torch.nn.functional.cross_entropy(s, own)
        return total / 2

    a, b, temperature = views(problem)
    assert_agree(
        without_temperature(with_grads(package, "nt_xent")(a, b, temperature=temperature)),
        of_torch(simclr, a, b),
    )


@every_problem
def test_nt_xent_is_the_mean_of_log_probabilities(package, problem):
    """As solo-learn and SupContrast write it, with masks."""

    def masked(a, b):
        z = torch.nn.functional.normalize(torch.cat([a, b]), dim=1)
        s = z @ z.T / temperature
        s = s - s.max(dim=1, keepdim=True).values.detach()
        others = 1 - torch.eye(len(z), dtype=z.dtype)
        positive = torch.eye(len(z), dtype=z.dtype).roll(len(a), 0)
        log_p = s - torch.log((torch.exp(s) * others).sum(1, keepdim=True))
        return -((positive * log_p).sum(1) / positive.sum(1)).mean()

    a, b, temperature = views(problem)
    assert_agree(
        without_temperature(with_grads(package, "nt_xent")(a, b, temperature=temperature)),
        of_torch(masked, a, b),
    )


@every_problem
def test_info_nce_is_clips(package, problem):
    """Radford et al. 2021, figure 3; its logit scale is 1 / temperature."""

    def clip(images, texts):
        images, texts = (torch.nn.functional.normalize(z, dim=1) for z in (images, texts))
        logits = images @ texts.T / temperature
        own = torch.arange(len(images))
        cross_entropy = torch.nn.functional.cross_entropy
        return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2

    a, b, temperature = views(problem)
    assert_agree(
        without_temperature(with_grads(package, "info_nce")(a, b, temperature=temperature, symmetric=True)),
        of_torch(clip, a, b),
    )


@every_problem
def test_info_nce_with_a_queue_is_mocos(package, problem):
    """He et al. 2020, algorithm 1: the own key first, then the queue. Ours has the other keys besides."""

    def moco(q, k):
        q, k, queued = (torch.nn.functional.normalize(z, dim=1) for z in (q, k, torch.tensor(queue)))
        logits = torch.cat([torch.sum(q * k, dim=1, keepdim=True), q @ queued.T], dim=1) / temperature
        return torch.nn.functional.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))

    a, b, temperature = views(problem)
    queue = np.random.default_rng(1).standard_normal((9, a.shape[1]))
    for one in range(len(a)):
        row = slice(one, one + 1)
        assert_agree(
            without_temperature(
                with_grads(package, "info_nce")(a[row], b[row], queue, temperature=temperature)
            ),
            of_torch(moco, a[row], b[row]),
        )


@every_problem
def test_dcl_is_the_log_sum_of_the_negatives(package, problem):
    """Yeh et al. 2022, equation 6, as lightly documents it."""

    def decoupled(a, b):
        z = torch.nn.functional.normalize(torch.cat([a, b]), dim=1)
        s = z @ z.T / temperature
        n = len(a)
        own = torch.eye(2 * n, dtype=torch.bool)
        positive = s[own.roll(n, 1)]
        return (torch.logsumexp(s.masked_fill(own | own.roll(n, 1), -math.inf), dim=1) - positive).mean()

    a, b, temperature = views(problem)
    assert_agree(
        without_temperature(with_grads(package, "dcl")(a, b, temperature=temperature)),
        of_torch(decoupled, a, b),
    )

"""One pair with a report of progress and with a checkpoint: the value of the plain call."""

from __future__ import annotations

import gramless as gl
import numpy as np
import pytest

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((300, 6)), RNG.standard_normal((300, 3))
FUNCTIONS = [gl.cka, gl.hsic]
OPTIONS = [
    {},
    {"estimator": "biased"},
    {"kernel": "rbf"},
    {"kernel": gl.RBF(sigma=2.0)},
    {"kernel": "cosine", "estimator": "biased"},
    {"kernel": gl.Distance()},
]
each = pytest.mark.parametrize("function", FUNCTIONS)


@each
@pytest.mark.parametrize("options", OPTIONS)
def test_progress_and_a_checkpoint_do_not_change_the_value(function, options, tmp_path):
    plain, told = function(X, Y, **options), []
    report = lambda done, total: told.append(done / total)  # noqa: E731
    assert function(X, Y, **options, progress=report) == pytest.approx(plain, rel=1e-12)
    assert told[-1] == 1
    kept = function(X, Y, **options, checkpoint=tmp_path / "pair")
    assert isinstance(kept, float)
    assert kept == pytest.approx(plain, rel=1e-12)
    again = function(
        X, Y, **options, checkpoint=tmp_path / "pair", progress=lambda *_: pytest.fail("computed again")
    )
    assert again == kept


@each
def test_an_interrupted_pair_is_resumed(function, tmp_path, monkeypatch):
    monkeypatch.setattr("gramless._checkpoint.LEAST_PAUSE", 0.0)
    monkeypatch.setattr("gramless._checkpoint.BUSY_SHARE", np.inf)
    x, y = RNG.standard_normal((2, 6000, 3))
    call = lambda progress: function(x, y, kernel="rbf", checkpoint=tmp_path / "pair", progress=progress)  # noqa: E731

    def interrupt(done, total):
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call(interrupt)
    told = []
    found = call(lambda done, total: told.append(done / total))
    assert found == pytest.approx(function(x, y, kernel="rbf"), rel=1e-12)
    assert told[0] > 0.25  # what was done is not done again


@each
def test_a_checkpoint_of_other_arrays_is_refused(function, tmp_path):
    function(X, Y, checkpoint=tmp_path / "pair")
    with pytest.raises(ValueError, match=rf"^{function.__name__}: checkpoint pair belongs to another sweep"):
        function(X, -Y, checkpoint=tmp_path / "pair")


@each
def test_what_a_checkpoint_cannot_keep_is_refused_in_a_sentence(function, tmp_path):
    name, file = function.__name__, tmp_path / "pair"
    with pytest.raises(ValueError, match=rf"^{name}: a checkpoint is for one kernel of both arrays"):
        function(X, Y, kernel_y="rbf", checkpoint=file)
    with pytest.raises(ValueError, match=rf"^{name}: checkpoint must be a file in a folder that exists"):
        function(X, Y, checkpoint=tmp_path / "missing" / "pair")
    with pytest.raises(ValueError, match=r"no gradients with .* a checkpoint"):
        gl.value_and_grad(function)(X, Y, checkpoint=file)
    with pytest.raises(TypeError, match=rf"^{name}: progress must be True, False or a callable"):
        function(X, Y, progress="yes")
    assert not file.exists()


@each
def test_tensors_report_progress_and_keep_their_gradients(function, tmp_path):
    torch = pytest.importorskip("torch")
    x, y = torch.from_numpy(X).requires_grad_(), torch.from_numpy(Y)
    told = []
    found = function(x, y, kernel="rbf", progress=lambda done, total: told.append(done / total))
    found.backward()
    assert told[-1] == 1
    by_x, x.grad = x.grad, None
    function(x, y, kernel="rbf").backward()
    torch.testing.assert_close(by_x, x.grad)
    with pytest.raises(ValueError, match=r"without gradients; detach\(\) the tensors first"):
        function(x, y, checkpoint=tmp_path / "pair")
    kept = function(x.detach(), y, kernel="rbf", checkpoint=tmp_path / "pair")
    assert isinstance(kept, torch.Tensor)
    torch.testing.assert_close(kept, found.detach())


@each
def test_a_long_pair_reports_its_progress_before_it_ends(function):
    told = []
    x, y = RNG.standard_normal((2, 12_000, 3))
    gl.set_num_threads(1)
    function(x, y, kernel="rbf", progress=lambda done, total: told.append(done / total))
    assert told == sorted(told)
    assert 0 < told[0] < 1 == told[-1]

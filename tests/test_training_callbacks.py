"""`TrainingCKA` as callbacks of training frameworks: their hooks in the order of calls."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import types

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gramless.torch import TrainingCKA  # noqa: E402
from torch import nn  # noqa: E402


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.fixture
def batches():
    return [torch.randn(20, 6, generator=torch.Generator().manual_seed(1))]


class Logger:
    def __init__(self):
        self.logged = []

    def log_metrics(self, metrics, step=None):
        self.logged.append((step, metrics))


class Lightning:
    """The hooks that Lightning's trainer calls, and the attributes of it that they read."""

    def __init__(self, callback, net):
        self.callback, self.net, self.loggers, self.global_step = callback, net, [Logger()], 0

    def begin(self):
        self.callback.on_train_start(self, self.net)

    def end_batch(self):
        self.callback.on_train_batch_end(self, self.net, None, None, 0)

    @property
    def logged(self):
        return self.loggers[0].logged


class HuggingFace:
    """The events of transformers' own handler of callbacks."""

    def __init__(self, callback, net):
        from transformers import TrainerControl, TrainerState
        from transformers.trainer_callback import CallbackHandler

        self.state, self.control = TrainerState(epoch=0.5), TrainerControl()
        self.handler = CallbackHandler([callback], net, None, None, None)

    def begin(self):
        self.handler.on_train_begin(None, self.state, self.control)

    def end_batch(self):
        self.handler.on_step_end(None, self.state, self.control)

    @property
    def global_step(self):
        return self.state.global_step

    @global_step.setter
    def global_step(self, step):
        self.state.global_step = step

    @property
    def logged(self):
        return [
            (entry["step"], {name: x for name, x in entry.items() if name.startswith("cka/")})
            for entry in self.state.log_history
        ]


@pytest.fixture(params=["lightning", "transformers"])
def framework(request, monkeypatch):
    """A framework's trainer, and the callback for it. Where lightning is missing a class stands in for the
    one that its callbacks derive from.
    """
    if request.param == "transformers":
        pytest.importorskip("transformers")
        yield HuggingFace, importlib.import_module("gramless.torch.transformers").TrainingCKACallback
        return
    stand_in = None
    if importlib.util.find_spec("lightning") is None:
        stand_in = types.ModuleType("lightning.pytorch")
        stand_in.Callback = type("Callback", (), {})
        package = types.ModuleType("lightning")
        package.__spec__ = importlib.machinery.ModuleSpec("lightning", None)
        package.__path__, package.pytorch = [], stand_in
        monkeypatch.setitem(sys.modules, "lightning", package)
        monkeypatch.setitem(sys.modules, "lightning.pytorch", stand_in)
        sys.modules.pop("gramless.torch.lightning", None)
    yield Lightning, importlib.import_module("gramless.torch.lightning").TrainingCKACallback
    if stand_in is not None:
        del sys.modules["gramless.torch.lightning"]


def changed(net):
    with torch.no_grad():
        net[0].weight += 0.2 * torch.randn(net[0].weight.shape)


def test_values_are_taken_and_logged_at_steps(framework, net, batches):
    make, callback = framework
    watching = callback(batches, every=4, layers=["0", "2"])
    trainer, expected = make(watching, net), TrainingCKA(net, batches, layers=["0", "2"])
    assert watching.watch is None
    trainer.begin()
    for step in (1, 2, 2, 4, 4, 4, 5, 9, 11, 12):  # a batch without a step; a step of two batches
        trainer.global_step = step
        changed(net)
        trainer.end_batch()
        if step in (4, 9, 12) and step not in expected.steps:
            expected(step)
    assert watching.watch.steps == expected.steps == [4, 9, 12]
    assert np.array_equal(watching.watch.matrix, expected.matrix)
    assert trainer.logged == [
        (step, {f"cka/{name}": x for name, x in zip(["0", "2"], values, strict=True)})
        for step, values in zip(expected.steps, expected.matrix.tolist(), strict=True)
    ]


def test_a_model_that_trains_on_keeps_its_start_and_another_has_its_own(framework, net, batches):
    make, callback = framework
    watching = callback(batches, every=1, layers=["2"])
    make(watching, net).begin()
    first = watching.watch
    changed(net)
    make(watching, net).begin()
    assert watching.watch is first
    make(watching, nn.Sequential(*net)).begin()
    assert watching.watch is not first


def test_a_start_in_the_middle_of_training_is_said(framework, net, batches):
    make, callback = framework
    trainer = make(callback(batches, layers=["2"]), net)
    trainer.global_step = 30
    with pytest.warns(UserWarning, match="^TrainingCKACallback: training resumes at step 30"):
        trainer.begin()
    trainer = make(callback(batches, layers=["2"], start=net), net)
    trainer.global_step = 30
    trainer.begin()


def test_what_makes_no_sense_is_one_sentence_at_once(framework, batches):
    _, callback = framework
    with pytest.raises(ValueError, match=r"^TrainingCKACallback: every must be at least 1 but is 0$"):
        callback(batches, every=0)
    with pytest.raises(
        TypeError, match=r"^TrainingCKACallback: .*'layer'; see gramless\.torch\.TrainingCKA$"
    ):
        callback(batches, layer="2")


def test_values_go_through_the_trainer_where_it_logs(net, batches):
    pytest.importorskip("transformers")
    from gramless.torch.transformers import TrainingCKACallback

    watching, logged = TrainingCKACallback(batches, every=2, layers=["2"]), []
    watching.log = logged.append
    trainer = HuggingFace(watching, net)
    trainer.begin()
    trainer.global_step = 2
    trainer.end_batch()
    assert [*logged[0]] == ["cka/2"]
    assert trainer.logged == []


@pytest.mark.filterwarnings("ignore")  # its own
def test_lightnings_trainer_calls_it(net, batches, tmp_path):
    lightning = pytest.importorskip("lightning.pytorch")
    from gramless.torch.lightning import TrainingCKACallback

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, index):
            return self(batch).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    watching = TrainingCKACallback(batches, every=2, layers=["net.2"])
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = lightning.Trainer(
        max_steps=5, callbacks=[watching], logger=False, accelerator="cpu", default_root_dir=tmp_path, **quiet
    )
    trainer.fit(Module(), torch.utils.data.DataLoader(torch.randn(40, 6), batch_size=4))
    assert watching.watch.steps == [2, 4]
    assert watching.watch.matrix[-1, 0] < 1

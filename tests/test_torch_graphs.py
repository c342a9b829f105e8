"""How often torch.compile compiles: not once for each value of a number."""

from __future__ import annotations

import gramless
import pytest

torch = pytest.importorskip("torch")

from gramless.torch import CLIPLoss, DCLLoss, NTXentLoss, SupConLoss  # noqa: E402
from torch._dynamo.testing import CompileCounterWithBackend  # noqa: E402

VALUES = [0.1 + step / 16 for step in range(10)]
LABELS = torch.tensor([3, 1, 3, 3, 9, 1])
FUNCTIONS = {
    "temperature": lambda a, b, value: gramless.nt_xent(a, b, temperature=value),
    "temperature of dcl": lambda a, b, value: gramless.dcl(a, b, temperature=value, reduction="sum"),
    "temperature of info_nce": lambda a, b, value: gramless.info_nce(a, b, b * 2, temperature=value),
    "temperature of sup_con": lambda a, b, value: gramless.sup_con(a * b, LABELS, temperature=value),
    "temperature of row_log_sum_exp": lambda a, b, value: gramless.row_log_sum_exp(a, b, temperature=value),
    "exclude_above": lambda a, b, value: gramless.nt_xent(a, b, exclude_above=value),
    "exclude_hardest": lambda a, b, value: gramless.info_nce(a, b, exclude_hardest=value),
    "exclude_easiest": lambda a, b, value: gramless.nt_xent(a, b, exclude_easiest=value),
    "both ranks": lambda a, b, value: gramless.info_nce(
        a, b, exclude_hardest=value / 2, exclude_easiest=value
    ),
    "both temperatures": lambda a, b, value: gramless.similarity_distillation(
        a, b, b * 2, temperature=value, teacher_temperature=value / 2
    ),
}
KERNELS = {
    "made inside": lambda a, b, value: gramless.cka(a, b, kernel=gramless.RBF(sigma=value + 1)),
    "scale": lambda a, b, value: gramless.hsic(a, b, kernel=gramless.RBF(scale=value + 1)),
    "of a matrix": lambda a, b, value: gramless.cka_matrix([a, b], kernel=gramless.RBF(sigma=value + 1)),
}
MODULES = {"nt_xent": NTXentLoss, "dcl": DCLLoss, "clip": CLIPLoss, "sup_con": SupConLoss}


def inputs(requires_grad=True):
    generator = torch.Generator().manual_seed(0)
    return [x.requires_grad_(requires_grad) for x in torch.randn(2, 6, 5, generator=generator)]


def grads_of(value, arrays):
    return torch.autograd.grad(value.sum(), arrays, allow_unused=True)


def assert_few_graphs(step, compile_and_set, values=VALUES):
    """step(a, b, value) agrees with the compiled step at every value, and two graphs are enough for all."""
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = compile_and_set(counter)
    for value in values:
        a, b = inputs()
        expected = step(a, b, value)
        found = compiled(a, b, value)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(grads_of(found, (a, b)), grads_of(expected, (a, b)))
    assert counter.frame_count <= 2


@pytest.mark.parametrize("name", ["temperature", "both temperatures", "scale"])
@pytest.mark.filterwarnings("ignore")
def test_a_whole_number_may_vary(name):
    function = (FUNCTIONS | KERNELS)[name]
    whole = range(2, 10, 2)
    assert_few_graphs(
        function, lambda backend: torch.compile(function, fullgraph=True, backend=backend), whole
    )


@pytest.mark.parametrize("name", [*FUNCTIONS, *KERNELS])
@pytest.mark.filterwarnings("ignore")
def test_a_number_that_varies_costs_two_graphs_at_most(name):
    function = (FUNCTIONS | KERNELS)[name]
    assert_few_graphs(function, lambda backend: torch.compile(function, fullgraph=True, backend=backend))


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.filterwarnings("ignore")
def test_a_temperature_that_is_set_anew_costs_two_graphs_at_most(name):
    module = MODULES[name]()
    second = (lambda b: LABELS) if name == "sup_con" else (lambda b: b)

    def step(a, b, value):
        module.temperature = value
        return module(a, second(b))

    def of(backend):
        compiled = torch.compile(module, fullgraph=True, backend=backend)

        def call(a, b, value):
            module.temperature = value
            return compiled(a, second(b))

        return call

    assert_few_graphs(step, of)


@pytest.mark.filterwarnings("ignore")
def test_a_wrong_number_is_refused_in_a_compiled_function():
    compiled = torch.compile(FUNCTIONS["exclude_hardest"], fullgraph=True, backend="aot_eager")
    for value in (0.2, 0.3):
        compiled(*inputs(), value)
    with pytest.raises(ValueError, match="exclude_hardest must be from 0 to 1 but is"):
        compiled(*inputs(), 1.5)


@pytest.mark.filterwarnings("ignore")
def test_the_memory_bank_compiles_in_one_graph():
    torch._dynamo.reset()
    torch.manual_seed(0)
    eager = NTXentLoss(memory_bank_size=(16, 5))
    module = NTXentLoss(memory_bank_size=(16, 5))
    module.load_state_dict(eager.state_dict())
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(module, fullgraph=True, backend=counter)
    for _ in range(5):
        a, b = inputs()
        found, expected = compiled(a, b), eager(a, b)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(torch.autograd.grad(found, a), torch.autograd.grad(expected, a))
        assert torch.equal(module.memory_bank.bank, eager.memory_bank.bank)
        assert torch.equal(module.memory_bank.bank_ptr, eager.memory_bank.bank_ptr)
    assert counter.frame_count == 1


def test_the_first_tensor_may_be_seen_in_a_compiled_function(run_script):
    run_script("""
import sys, warnings
import torch, gramless
assert "gramless.torch" not in sys.modules
warnings.simplefilter("ignore")  # torch's own
a, b = torch.randn(2, 16, 8, dtype=torch.float64).unbind()
step = lambda a, b: gramless.nt_xent(a, b) + gramless.cka(a, b)
compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
torch.testing.assert_close(compiled(a, b), step(a, b))
""")

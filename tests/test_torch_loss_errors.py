"""Invalid calls of the losses of gramless.torch raise one error each."""

from __future__ import annotations

from functools import partial

import gramless
import pytest

torch = pytest.importorskip("torch")

from gramless.torch import CLIPLoss, DCLLoss, DCLWLoss, NTXentLoss, SupConLoss, TrainingCKA  # noqa: E402
from torch_formulas import leaves  # noqa: E402

REFUSED = {
    "text": (
        lambda a: gramless.nt_xent(a, "words"),
        "nt_xent: z_b must be a two-dimensional array but is str",
    ),
    "views of different shape": (
        lambda a: NTXentLoss()(a, a[:2]),
        "NTXentLoss: z_a has 6 rows but z_b has 2",
    ),
    "widths": (lambda a: gramless.nt_xent(a, a[:, :2]), "z_a has 5 columns but z_b has 2"),
    "empty": (lambda a: DCLLoss()(a[:0], a[:0]), r"DCLLoss: z_a is empty, its shape is \(0, 5\)"),
    "device": (lambda a: NTXentLoss()(a, a.to("meta")), "z_b is on meta but gramless reads"),
    "complex": (lambda a: NTXentLoss()(a, a + 1j), "z_b must hold real numbers but has dtype torch.complex"),
    "temperature 0": (lambda a: gramless.nt_xent(a, a, temperature=0), "must be finite and not 0 but is 0"),
    "lightly's limit": (lambda a: NTXentLoss(1e-9), r"abs\(temperature\) must be at least 1e-8 but is 1e-09"),
    "two temperatures": (
        lambda a: gramless.nt_xent(a, a, temperature=torch.ones(2)),
        r"temperature must be one number but has shape \(2,\)",
    ),
    "labels": (lambda a: SupConLoss()(a, torch.tensor([3, 1, 3])), "z has 6 rows but labels has 3"),
    "no labels": (lambda a: SupConLoss()(a), "without labels z must be"),
    "bank": (lambda a: NTXentLoss(memory_bank_size=3), r"must be 0 or \(rows, features\) but is 3"),
    "bank's width": (
        lambda a: NTXentLoss(memory_bank_size=(4, 3))(a, a),
        "out0 has 5 columns but the memory bank has 3",
    ),
    "reduction": (lambda a: gramless.nt_xent(a, a, reduction="avg"), "but is 'avg'"),
    "three dimensions": (lambda a: NTXentLoss()(a[None], a[None]), r"but has shape \(1, 6, 5\)"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_makes_no_sense_is_one_sentence(what):
    call, sentence = REFUSED[what]
    with pytest.raises((TypeError, ValueError), match=sentence):
        call(leaves()[0])


def test_a_learned_temperature_of_0_is_refused():
    a, b, _ = leaves()
    with pytest.raises(ValueError, match=r"^nt_xent: temperature must be finite and not 0 but is 0"):
        gramless.nt_xent(a, b, temperature=torch.zeros(()))


def numbers_of_constructors():
    net, batches = torch.nn.Linear(5, 2), [leaves()[0]]
    found = {
        loss.__name__: (loss, "temperature") for loss in (NTXentLoss, DCLLoss, DCLWLoss, SupConLoss, CLIPLoss)
    }
    found["DCLWLoss of sigma"] = (DCLWLoss, "sigma")
    found["NTXentLoss of memory_bank_size"] = (NTXentLoss, "memory_bank_size")
    found["TrainingCKA of every"] = (partial(TrainingCKA, net, batches), "every")
    return found


@pytest.mark.parametrize("value", ["0.5", None, b"1", memoryview(b"1"), 1j, object(), ["0.5", None]])
@pytest.mark.parametrize("name", list(numbers_of_constructors()))
def test_a_number_that_is_none_is_one_sentence_at_once(name, value):
    construct, option = numbers_of_constructors()[name]
    with pytest.raises(TypeError, match=rf"^{name.split()[0]}: {option} must be .* but is "):
        construct(**{option: value})


@pytest.mark.parametrize("name", ["similarity_distillation", "moco", "info_nce", "cka", "sup_con"])
def test_tensors_of_inference_mode_beside_a_gradient_are_one_sentence(name):
    learned = torch.randn(8, 5, requires_grad=True)
    with torch.inference_mode():
        other, mask = torch.randn(8, 5), torch.ones(8, 8)
    arguments = {"info_nce": (other, learned), "cka": (learned, other)}.get(name, (learned, other, other))
    options = {"mask": mask} if name == "sup_con" else {}
    with pytest.raises(
        RuntimeError, match=rf"^{name}: a tensor of shape .* was created in torch.inference_mode"
    ):
        getattr(gramless, name)(*(arguments[:1] if options else arguments), **options)
    queue = torch.randn(11, 5, requires_grad=True)  # which is constant
    assert gramless.info_nce(other, other, queue).requires_grad is False

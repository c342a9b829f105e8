"""`info_nce` of tensors with negatives: the results of plain torch, and torch's function transforms."""

from __future__ import annotations

from functools import partial

import gramless
import numpy as np
import pytest
from tolerance import FLOOR

torch = pytest.importorskip("torch")

from test_siglip_torch import assert_all_close, value_and_grads  # noqa: E402
from torch.nn.functional import cross_entropy, normalize  # noqa: E402


def plain(a, b, negatives, temperature, symmetric=False, ids=None, **options):
    """n x (n + m)."""
    a, b, negatives = (normalize(x, eps=1e-12) for x in (a, b, negatives))
    own = torch.arange(len(a))
    logits = a @ torch.cat([b, negatives]).T / temperature
    if ids is not None:
        duplicates = (ids[: len(a), None] == ids) & (own[:, None] != torch.arange(len(ids)))
        logits = logits.masked_fill(duplicates, -torch.inf)
    one_way = cross_entropy(logits, own, **options)
    return (one_way + cross_entropy(logits[:, : len(a)].T, own, **options)) / 2 if symmetric else one_way


def ours(a, b, negatives, temperature, symmetric=False, ids=None, **options):
    options |= {"negatives": negatives, "temperature": temperature, "symmetric": symmetric, "ids": ids}
    return gramless.info_nce(a, b, **options)


def inputs_of(*batch, n=6, m=9, d=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randn(*batch, count, d, dtype=torch.float64, generator=generator) for count in (n, n, m)]
    return [*(x.to(dtype) for x in rows), torch.tensor(0.2, dtype=dtype)]


def ids_of(kind, rows):
    return None if kind is None else torch.arange(rows) % max(1, rows // 3)


every_kind = pytest.mark.parametrize("kind", [None, "ids"])


@every_kind
@pytest.mark.parametrize("symmetric", [False, True])
def test_it_is_what_plain_torch_gives(symmetric, kind):
    for n, m in ((1, 1), (17, 34), (97, 50)):
        for dtype, limit in ((torch.float32, 1e-6), (torch.float64, 1e-10)):
            inputs = inputs_of(n=n, m=m, d=33, dtype=dtype)
            options = {"symmetric": symmetric, "ids": ids_of(kind, n + m)}
            exact = value_and_grads(plain, [x.double() for x in inputs], **options)
            naive = value_and_grads(plain, inputs, **options)
            found = value_and_grads(ours, inputs, **options)
            for own, theirs, true in zip(found, naive, exact, strict=True):
                assert own.dtype == theirs.dtype
                size = max(true.abs().max().item(), 1.0)
                error, rough = ((x.double() - true).abs().max().item() / size for x in (own, theirs))
                assert error <= max(2 * rough + FLOOR[np.dtype(str(dtype)[6:])], limit)


@every_kind
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("symmetric", [False, True])
def test_gradcheck(reduction, symmetric, kind):
    inputs, ids = [x.requires_grad_() for x in inputs_of()], ids_of(kind, 15)
    assert torch.autograd.gradcheck(lambda *x: ours(*x, symmetric, ids, reduction=reduction), inputs)


@every_kind
def test_autograd_differentiates_negatives_and_no_queue(kind):
    *rows, temperature = [x.requires_grad_() for x in inputs_of()]
    queue, ids = rows[2][5:], ids_of(kind, 15)
    named = {"negatives": rows[2][:5], "temperature": temperature, "ids": ids}
    loss = gramless.info_nce(*rows[:2], queue, **named)
    by_others = torch.autograd.grad(loss, rows[2])[0]
    assert by_others[5:].abs().max() == 0
    expected = torch.autograd.grad(ours(*rows, temperature, ids=ids), rows[2])[0]
    torch.testing.assert_close(by_others[:5], expected[:5])


@every_kind
@pytest.mark.filterwarnings("ignore")
def test_compiled_functional_and_mapped_gradients_are_those_of_backward(kind):
    torch._dynamo.reset()
    inputs, ids = inputs_of(), ids_of(kind, 15)
    loss = partial(ours, symmetric=True, ids=ids)
    expected = value_and_grads(loss, inputs)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    assert_all_close(value_and_grads(compiled, inputs), expected)
    assert_all_close(torch.func.grad(loss, argnums=(0, 1, 2, 3))(*inputs), expected[1:])
    a, b, negatives, temperature = inputs_of(3)
    mapped = torch.vmap(torch.func.grad(loss, argnums=2), in_dims=(0, 0, 0, None))(
        a, b, negatives, temperature
    )
    one_by_one = [value_and_grads(loss, (*x, temperature))[3] for x in zip(a, b, negatives, strict=True)]
    torch.testing.assert_close(mapped, torch.stack(one_by_one))


def test_16_bit_negatives_have_16_bit_gradients():
    for dtype in (torch.float16, torch.bfloat16):
        inputs = inputs_of(n=40, m=50, dtype=dtype)
        found = value_and_grads(ours, [*inputs[:3], inputs[3].float()])
        expected = value_and_grads(ours, [x.float() for x in inputs])
        assert [x.dtype for x in found[:4]] == [torch.float32, dtype, dtype, dtype]
        assert_all_close(found, expected, rtol=torch.finfo(dtype).eps, atol=1e-7, check_dtype=False)


def test_the_operators_of_ids_pass_opcheck():
    from gramless._problems.positives import OwnKeys
    from gramless.torch._autograd import operands

    *rows, temperature = [x.requires_grad_() for x in inputs_of()]
    problem = OwnKeys("info_nce", True, "mean", 3, 0, True, True, (None, 0.3, 0.2))
    arguments = operands(problem, (*rows, temperature, torch.arange(15) // 2))
    torch.library.opcheck(torch.ops.gramless.forward.default, arguments)

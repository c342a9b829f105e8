"""The default layers of transformers with classes of any name are their blocks."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from gramless.torch import compare_models  # noqa: E402
from gramless.torch.blocks import blocks, holds_attention  # noqa: E402
from torch import nn  # noqa: E402

WIDTH = 12


class Mix(nn.Module):
    """Attention under another name, with any number of heads and of shared keys."""

    def __init__(self, heads=2, shared=1, fused=False):
        super().__init__()
        self.heads, self.shared, self.size = heads, shared, WIDTH // heads
        if fused:
            self.mix = nn.Linear(WIDTH, 3 * WIDTH)
        else:
            self.ask = nn.Linear(WIDTH, WIDTH)
            self.offer, self.give = (nn.Linear(WIDTH, self.size * heads // shared) for _ in range(2))
        self.back, self.fused = nn.Linear(WIDTH, WIDTH), fused

    def forward(self, x):
        apart = None if self.fused else (self.ask(x), self.offer(x), self.give(x))
        parts = apart or self.mix(x).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (-1, self.size)).transpose(1, 2) for part in parts)
        k, v = (part.repeat_interleave(self.shared if not self.fused else 1, 1) for part in (k, v))
        weights = (q @ k.transpose(2, 3)).softmax(-1)
        return self.back((weights @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.mix, self.norm = Mix(**options), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x):
        x = x + self.mix(self.norm(x))
        return x + self.mlp(x)


class Flat(Mix):
    """Attention and the layers after it in one module."""

    def __init__(self, **options):
        super().__init__(**options)
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x):
        x = x + super().forward(x)
        return x + self.down(self.up(x).relu())


class Net(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.stem, self.blocks = nn.Linear(5, WIDTH), nn.ModuleList(make() for _ in range(3))

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x


TRANSFORMERS = {
    "query, key and value": Block,
    "one head": lambda: Block(heads=1),
    "shared keys": lambda: Block(heads=4, shared=2),
    "one projection": lambda: Block(fused=True),
    "all in one module": Flat,
    "all in one module, one projection": lambda: Flat(fused=True),
}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_home_made_transformer_has_blocks(name):
    net, x = Net(TRANSFORMERS[name]), torch.randn(20, 7, 5)
    found = compare_models(net, None, [x], progress=False)
    assert found.layers_a == ["blocks.0", "blocks.1", "blocks.2"]
    leaves = compare_models(net, None, [x], layers="leaves", progress=False)
    assert len(leaves.layers_a) > 9


class Gated(nn.Module):
    def __init__(self, hidden=WIDTH):
        super().__init__()
        self.gate, self.up, self.down = (
            nn.Linear(WIDTH, hidden),
            nn.Linear(WIDTH, hidden),
            nn.Linear(hidden, WIDTH),
        )

    def forward(self, x):
        return x + self.down(self.gate(x).sigmoid() * self.up(x))


class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(3 * WIDTH, WIDTH)

    def forward(self, x):
        return x + self.down(self.up(x).relu())


class Cell(nn.Module):
    """A gated unit: three linear layers side by side, without an output projection."""

    def __init__(self):
        super().__init__()
        self.reset, self.update, self.new = (nn.Linear(2 * WIDTH, WIDTH) for _ in range(3))

    def forward(self, x):
        both = torch.cat([x, x], -1)
        return x + self.update(both).sigmoid() * self.new(both).tanh() * self.reset(both).sigmoid()


class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x):
        return x + sum(expert(x) for expert in self.experts)


@pytest.mark.parametrize("make", [Gated, lambda: Gated(2 * WIDTH), Wide, Cell, Experts])
def test_other_repeated_blocks_have_leaves(make):
    net, x = Net(make), torch.randn(20, 7, 5)
    assert blocks(dict(net.named_modules()))
    assert not holds_attention(blocks(dict(net.named_modules())))
    assert "stem" in compare_models(net, None, [x], progress=False).layers_a


class Stack(nn.Module):
    """Twelve blocks in the usual place, each with a dropout that never runs."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(nn.Sequential(nn.Linear(6, 6), nn.ReLU()) for _ in range(12))
        for block in self.encoder.layer:
            block[0].dropout = nn.Dropout()

    def forward(self, x):
        for block in self.encoder.layer:
            x = x + block(x)
        return x


def compared(layers):
    x = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    return compare_models(Stack().eval(), None, [x], layers=layers, progress=False).layers_a


def test_a_star_is_one_level_and_two_digits_are_not_left_out():
    assert compared("encoder.layer.*") == [f"encoder.layer.{i}" for i in range(12)]


def test_a_question_mark_that_leaves_out_blocks_10_and_11_says_so():
    with pytest.warns(
        UserWarning, match=r"'encoder.layer.\?' leaves out 'encoder.layer.10' and 1 more: \? is one"
    ):
        assert len(compared("encoder.layer.?")) == 10
    assert len(compared("encoder.layer.[0-9]")) == 10


def test_what_never_ran_is_left_out_of_a_pattern_across_levels():
    with pytest.warns(UserWarning, match=r"left out of model_a: 'encoder.layer.0.0.dropout'"):
        assert len(compared("encoder.layer.**")) == 36


def test_a_list_of_modules_is_no_layer_and_its_members_are_named():
    with pytest.raises(
        ValueError, match=r"never ran in .*: it only contains modules; 'encoder.layer.\*' selects these"
    ):
        compared("encoder.layer")

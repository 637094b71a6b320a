"""Operations of products and convolutions are counted as PyTorch counts them, module by module."""

from __future__ import annotations

import pytest

import chainrule as cr
from chainrule.utils.flop_counter import FlopCounterMode

CASES = {
    "linear": lambda lib: lib.nn.Linear(3, 4)(lib.ones(5, 2, 3)),
    "linear of a vector": lambda lib: lib.nn.Linear(3, 4)(lib.ones(3)),
    "nested": lambda lib: lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.Sequential(lib.nn.Linear(4, 2)))(lib.ones(2, 3)),
    "conv": lambda lib: lib.nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)(lib.ones(2, 4, 9, 8)),
    "conv1d": lambda lib: lib.nn.Conv1d(4, 6, 3, dilation=2)(lib.ones(2, 4, 9)),
    "transposed": lambda lib: lib.nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2)(lib.ones(2, 4, 5, 4)),
    "mm": lambda lib: lib.ones(2, 3) @ lib.ones(3, 4),
    "bmm": lambda lib: lib.bmm(lib.ones(2, 3, 4), lib.ones(2, 4, 5)),
    "matmul": lambda lib: lib.ones(2, 1, 3, 4) @ lib.ones(5, 4, 6),
    "addmm": lambda lib: lib.addmm(lib.ones(4), lib.ones(2, 3), lib.ones(3, 4)),
    "baddbmm": lambda lib: lib.baddbmm(lib.ones(1), lib.ones(2, 3, 4), lib.ones(2, 4, 5)),
    "einsum": lambda lib: lib.einsum("bij,bjk->bik", lib.ones(2, 3, 4), lib.ones(2, 4, 5)),
    "gru": lambda lib: lib.nn.GRU(3, 4)(lib.ones(5, 2, 3)),
    "attention": lambda lib: lib.nn.MultiheadAttention(4, 2)(*[lib.ones(5, 2, 4)] * 3),
    "sums": lambda lib: lib.ones(3).exp().sum(),
}


def counted(lib, counter, case):
    with counter(display=False) as counts:
        CASES[case](lib)
    return counts.get_total_flops(), {module: sum(ops.values()) for module, ops in counts.get_flop_counts().items()}


@pytest.mark.parametrize("case", CASES)
def test_operations_are_counted_as_in_pytorch(torch, case):
    from torch.utils.flop_counter import FlopCounterMode as Theirs

    assert counted(cr, FlopCounterMode, case) == counted(torch, Theirs, case)


def test_an_lstm_is_counted_by_its_products():
    with FlopCounterMode(display=False) as counter:
        cr.nn.LSTM(3, 4)(cr.ones(5, 2, 3))
    assert counter.get_flop_counts()["LSTM"] == {"aten.addmm": 2 * 10 * 3 * 16, "aten.lstm": 2 * 10 * 4 * 16}


def test_a_module_that_raises_is_left():
    class Broken(cr.nn.Module):
        def forward(self, x):
            raise ValueError

    with FlopCounterMode(display=False) as counter:
        with pytest.raises(ValueError):
            Broken()(cr.ones(1))
        cr.ones(2, 3) @ cr.ones(3, 4)
    assert counter.get_flop_counts() == {"Global": {"aten.mm": 48}}


def test_the_table_tells_shares(capsys):
    model = cr.nn.Sequential(cr.nn.Linear(3, 4), cr.nn.Sequential(cr.nn.Linear(4, 3)))
    with FlopCounterMode(depth=1) as counter:
        model(cr.ones(2, 3))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["Global", "96", "100.00%"], ["-", "aten.addmm", "96", "100.00%"],
        ["Sequential", "96", "100.00%"], ["-", "aten.addmm", "96", "100.00%"],
    ]  # fmt: skip
    assert "Sequential.1.0" in counter.get_table(3)


def test_passes_backward_are_refused():
    x = cr.ones(2, 3, requires_grad=True)
    with FlopCounterMode(display=False), pytest.raises(NotImplementedError, match="counts forward passes"):
        (x @ cr.ones(3, 4)).sum().backward()
    with FlopCounterMode(display=False):
        x.exp().sum().backward()
    with pytest.raises(NotImplementedError, match="custom_mapping"):
        FlopCounterMode(custom_mapping={cr.exp: lambda *shapes: 1})

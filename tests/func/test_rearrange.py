"""`rearrange`: PyTorch's results and errors."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr

PATTERNS = [
    ("a b c -> c b a", {}), ("a b c -> (a b) c", {}), ("(x y) b c -> x y b c", {"x": 2}), ("(x y) b c -> y (b x) c", {"y": 2}),
    ("... c -> c ...", {}), ("... c -> c (...)", {}), ("a ... -> (... a)", {}), ("a b c -> a 1 b c", {}),
    ("a b c -> a () b c", {}), ("a b c -> a b", {}), ("a b -> b a", {}), ("a b c -> a b c d", {}), ("a b c", {}),
    ("a a c -> a c", {}), ("a b c -> a b c", {"d": 3}), ("a b c -> c ...", {}), ("(... a) b c -> a b c", {}),
    ("a ((b) c) d -> a b c d", {}), ("a b 3 -> a b", {}), ("a! b c -> a b c", {}), ("a (b c -> a b c", {}),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "lengths"), PATTERNS)
def test_patterns_do_what_they_do_in_pytorch(pattern, lengths, torch):
    x = np.arange(24.0).reshape(2, 3, 4)
    outcomes = []
    for library in (torch, cr):
        try:
            outcomes.append(library.func.rearrange(library.tensor(x), pattern, **lengths).tolist())
        except ValueError as error:
            outcomes.append(str(error)[:30])
    assert outcomes[1] == outcomes[0]


def test_sizes_that_do_not_fit_raise():
    x = cr.zeros(2, 3, 4)
    with pytest.raises(ValueError, match="cannot infer the sizes of x and y at once"):
        cr.func.rearrange(x, "(x y) b c -> x y b c")
    with pytest.raises(ValueError, match="an axis of size 2 does not divide"):
        cr.func.rearrange(x, "(x y) b c -> x y b c", x=3)
    with pytest.raises(ValueError, match="an axis of size 2 does not divide"):
        cr.func.rearrange(x, "1 b c -> b c")


def test_several_tensors_stack_and_gradients_go_back():
    x = cr.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    out = cr.func.rearrange([x, 2 * x], "n a b -> b (n a)")
    assert out.shape == (3, 4)
    (out * cr.arange(12.0, dtype=cr.float64).reshape(3, 4)).sum().backward()
    assert x.grad.tolist() == [[4.0, 16.0, 28.0], [7.0, 19.0, 31.0]]
    mapped = cr.func.vmap(lambda x: cr.func.rearrange(x, "(a b) -> b a", a=1))(x.detach())
    assert mapped.shape == (2, 3, 1)

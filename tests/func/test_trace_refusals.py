"""`func.trace` refuses what a graph cannot say, and names the line."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from tests.func.traced import F64, close, t, trace

import chainrule as cr
from chainrule.func import grad, jvp
from chainrule.transforms.trace import TraceError

pytestmark = pytest.mark.usefixtures("small_heap")


def branch(x):
    if x.sum() > 0:
        return x
    return -x


def loop(x):
    while x < 10:
        x = x * 2
    return x


READS = {
    "A Python branch or loop": branch,
    r"\.item\(\)": lambda x: x * x.sum().item(),
    r"float\(\)": lambda x: x * float(x.sum()),
    r"int\(\)": lambda x: x * int(x.sum()),
    r"\.tolist\(\)": lambda x: x * x.tolist()[0],
    r"\.numpy\(\)": lambda x: x.numpy(),
    "A NumPy function": lambda x: np.sin(np.asarray(x)),
    r"equal\(\)": lambda x: cr.equal(x, x * 2),
    r"allclose\(\)": lambda x: cr.allclose(x, x),
}


@pytest.mark.parametrize("words", list(READS))
def test_reading_a_value_raises_and_names_the_line(words):
    with pytest.raises(TraceError, match=rf"^{words} needs the value of a traced tensor at .*_refusals\.py:\d+, in .*`.*`"):
        trace(READS[words])(t(1.0, 2.0))


# Programs that may read values on the way: each is either recorded right, or raises.
SUSPECTS = [
    lambda x: cr.tensor(x) * 2, lambda x: cr.tensor([x[0], x[1]]) * x, lambda x: cr.full((2,), x[0]) * x,
    lambda x: cr.full_like(x, x[0]), lambda x: cr.zeros(2, dtype=F64).fill_(x[0]), lambda x: cr.arange(x[0]),
    lambda x: cr.linspace(x[0], x[1], 3), lambda x: cr.clamp(x, x[0], x[1]), lambda x: x ** x[0], lambda x: x[x > 1],
    lambda x: cr.lerp(x, x * 2, x[0]), lambda x: x[x.to(cr.int64)], lambda x: x[: x[1].to(cr.int64)], lambda x: sum(x),
    lambda x: x.clone().masked_fill_(x > 1, 0.0), lambda x: cr.where(x > 1, x, 0), lambda x: cr.topk(x, 1)[0],
    lambda x: x if 1.5 in x else -x, lambda x: x * round(float(x.sum())), lambda x: np.sin(x), lambda x: np.ones(2) * x,
    lambda x: np.float64(2) * x, lambda x: np.add(x, 1), lambda x: max(x[0], x[1]), lambda x: cr.stack(sorted(x)),
    lambda x: x.data * 2, lambda x: x.detach() * x, lambda x: x.new_zeros(2) + x, lambda x: cr.zeros(2, dtype=F64).copy_(x),
    lambda x: cr.unique(x), lambda x: cr.nonzero(x > 1), lambda x: -x if x.isnan().any() else x,
    lambda x: x.clone().apply_(lambda v: v + 1), lambda x: cr.zeros(2, dtype=F64).set_(x), lambda x: x.clone().t_(),
    lambda x: copy.deepcopy(x), lambda x: cr.histc(x, 3) + x[0], lambda x: cr.repeat_interleave(x, x.to(cr.int64)),
    lambda x: cr.searchsorted(x, x), lambda x: cr.bincount(x.to(cr.int64)) * 1.0, lambda x: cr.quantile(x, x[0] / 9),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:To copy construct", "ignore:Converting a tensor")
@pytest.mark.parametrize("f", SUSPECTS)
def test_nothing_is_frozen_silently(f):
    x = t([1.3, 0.4])
    try:
        found = trace(f)(t([0.5, 1.5]))(x)
    except (RuntimeError, TypeError):
        return
    np.testing.assert_array_equal(np.asarray(found.detach()), np.asarray(f(x).detach()))


def test_a_loop_names_its_line():
    line = loop.__code__.co_firstlineno + 1
    with pytest.raises(TraceError, match=rf"test_trace_refusals\.py:{line}, in loop: `while x < 10:`"):
        trace(loop)(t(1.0))


def test_a_branch_inside_of_another_transform_raises_too():
    with pytest.raises(TraceError, match="in branch"):
        trace(grad(lambda x: branch(x).sum()))(t(1.0, 2.0))
    with pytest.raises(TraceError, match="in branch"):
        trace(lambda x: jvp(branch, (x,), (x,)))(t(1.0, 2.0))


def test_branches_on_shapes_and_fixed_arguments_are_free():
    def f(x, double):
        return x * 2 if double and x.ndim == 1 and len(x) == 2 and x.dtype is F64 else x

    assert trace(f)(t(1.0, 2.0), True)(t(1.0, 3.0), True).tolist() == [2.0, 6.0]


def test_branches_on_own_constants_are_free():
    def f(x):
        n = cr.arange(4).sum()
        return x * n.item() if n > 3 else x

    assert trace(f)(t(1.0))(t(2.0)).item() == 12.0


def test_writes_to_outside_raise():
    outside = t(1.0, 2.0)
    for f in (lambda x: outside.add_(x), lambda x: outside.add_(1), lambda x: outside[0].add_(x[0]), lambda x: outside.t_()):
        with pytest.raises(TraceError, match="a write in place to a tensor from outside the traced function"):
            trace(f)(t(1.0, 1.0))
    assert outside.tolist() == [1.0, 2.0]


def test_the_state_of_a_generator_is_not_recorded():
    with pytest.raises(TraceError, match="the state of a generator is used inside a traced function"):
        trace(lambda x: x * cr.get_rng_state()[0])(cr.ones(2))


def test_backward_inside_raises():
    w = t(2.0, requires_grad=True)

    def by_method(x):
        (w * x).backward()
        return x

    def by_grad(x):
        return cr.autograd.grad(w * x, w)[0]

    for f in (by_method, by_grad, lambda x: x.requires_grad_(), lambda x: x.register_hook(print), lambda x: x.retain_grad()):
        with pytest.raises(TraceError, match=r"a graph cannot hold a backward pass into tensors' \.grad"):
            trace(f)(t(3.0))
    assert w.grad is None


def test_autograd_grad_inside_of_a_transform_inside_is_recorded():
    f = grad(lambda x: cr.autograd.grad(cr.sin(x) * x, x, create_graph=True)[0])
    close(trace(f)(t(0.1))(t(0.5)), f(t(0.5)))


def test_leaked_values_raise():
    kept = []

    def f(x):
        kept.append(x * 2)
        return x

    trace(f)(t(1.0))
    with pytest.raises(TraceError, match="a traced value is used outside of the function that was traced"):
        kept[0] + 1


def test_an_error_inside_ends_the_trace():
    with pytest.raises(ZeroDivisionError):
        trace(lambda x: x * (1 // 0))(t(1.0))
    assert type(t(1.0) * 2) is cr.Tensor
    assert cr.rand(2).shape == (2,)


def test_a_shape_that_depends_on_values_is_checked():
    graph = cr.func.trace(lambda x: x[x > 0].mean())(t([1.0, -1.0, 2.0]))
    assert graph(t([-3.0, 2.0, 6.0])).item() == 4.0
    with pytest.raises(RuntimeError, match=r"graph: masked gives the shape \[1\] here, but gave \[2\] in the trace"):
        graph(t([-1.0, -1.0, 2.0]))

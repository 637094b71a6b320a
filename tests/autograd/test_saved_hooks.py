"""Hooks on saved tensors do what PyTorch's do, and work inside transforms too."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd.graph import disable_saved_tensors_hooks, save_on_cpu, saved_tensors_hooks
from chainrule.core.mode.grad_mode import modes


def leaf(lib, *values):
    return lib.tensor(list(values), dtype=lib.float64, requires_grad=True)


def recorded(lib, say):
    def pack(t):
        say("pack", t, type(t.grad_fn).__name__, t.requires_grad, t.is_leaf, lib.is_grad_enabled())
        return t.detach().clone()

    def unpack(t):
        say("unpack", t, lib.is_grad_enabled())
        return t

    return lib.autograd.graph.saved_tensors_hooks(pack, unpack)


def inputs_and_results_are_packed(lib, say):
    x = leaf(lib, 1.0, 2.0)
    with recorded(lib, say):
        y = x.exp().sin().sqrt()
    y.sum().backward()
    say(x.grad)


def constants_and_indices_are_packed(lib, say):
    x = leaf(lib, 1.0, 2.0)
    with recorded(lib, say):
        (x * lib.tensor([3.0, 4.0], dtype=lib.float64)).sum().backward()
        (x + 1).sum().backward()
    say(x.grad)


def second_derivatives_go_through_the_original_history(lib, say):
    x = leaf(lib, 1.0, 2.0)
    with recorded(lib, say):
        y = (x.exp() * x).sum()
    (g,) = lib.autograd.grad(y, x, create_graph=True)
    say(lib.autograd.grad(g.sum(), x))


def second_pass_unpacks_again(lib, say):
    x = leaf(lib, 1.0, 2.0)
    with recorded(lib, say):
        y = x.exp().sum()
    y.backward(retain_graph=True)
    y.backward()
    say(x.grad)
    say.error(y.backward)


def innermost_pair_alone_is_called(lib, say):
    x = leaf(lib, 1.0, 2.0)
    hooks = lib.autograd.graph.saved_tensors_hooks
    with hooks(lambda t: say("outer"), lambda t: t), recorded(lib, say):
        y = x.exp()
    z = y.exp()
    z.sum().backward()


def forbidden(lib, say):
    hooks, disable = lib.autograd.graph.saved_tensors_hooks, lib.autograd.graph.disable_saved_tensors_hooks

    def enter(outer, inner):
        with outer, inner:
            pass

    say.error(lambda: enter(disable("not here"), hooks(lambda t: t, lambda t: t)))
    say.error(lambda: enter(hooks(lambda t: t, lambda t: t), disable("nor here")))
    enter(hooks(lambda t: t, lambda t: t), hooks(lambda t: t, lambda t: t))


def unpacking_to_no_tensor(lib, say):
    x = leaf(lib, 1.0, 2.0)
    with lib.autograd.graph.saved_tensors_hooks(lambda t: 1, lambda packed: packed):
        y = x.exp()
    say.error(y.sum().backward)


def writing_to_what_is_packed(lib, say):
    x = leaf(lib, 1.0, 2.0) * 1
    with lib.autograd.graph.saved_tensors_hooks(lambda t: t.mul_(2), lambda packed: packed):
        say.error(lambda: x * x)
        say.error(x.exp)


def pack_hook_raises(lib, say):
    def pack(t):
        raise KeyError("from the hook")

    x = leaf(lib, 1.0, 2.0)
    with lib.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        say.error(x.exp)
    x.exp().sum().backward()
    say(x.grad)


def writes_after_packing_are_not_seen(lib, say):
    x = leaf(lib, 1.0, 2.0)
    with lib.autograd.graph.saved_tensors_hooks(lambda t: t.detach().clone(), lambda t: t):
        y = x.exp()
        y.add_(1)
        y.mul_(y)
    y.sum().backward()
    say(x.grad)


def in_place_ops_pack_the_values_before(lib, say):
    x = leaf(lib, 1.0, 2.0)
    with lib.autograd.graph.saved_tensors_hooks(lambda t: t.detach().clone(), lambda t: t):
        y = x * 2
        y.mul_(x)
    y.sum().backward()
    say(x.grad)


def unpacking_to_another_dtype(lib, say):
    x = leaf(lib, 1.0, 2.0)
    with lib.autograd.graph.saved_tensors_hooks(lambda t: t.detach().float(), lambda t: t.double()):
        y = (x * x).sum()
    y.backward()
    say(x.grad)


def numpy_on_disk_and_back(lib, say):
    x = leaf(lib, 1.0, 2.0)
    with lib.autograd.graph.saved_tensors_hooks(lambda t: t.detach().numpy().tobytes(), lambda b: lib.tensor(np.frombuffer(b))):
        y = (x.exp() * x).sum()
    y.backward()
    say(x.grad)


def on_cpu(lib, say):
    x = leaf(lib, 1.0, 2.0)
    with lib.autograd.graph.save_on_cpu():
        y = (x.exp() * x).sum()
    y.backward()
    say(x.grad)


PROGRAMS = [
    inputs_and_results_are_packed,
    constants_and_indices_are_packed,
    second_derivatives_go_through_the_original_history,
    second_pass_unpacks_again,
    innermost_pair_alone_is_called,
    forbidden,
    unpacking_to_no_tensor,
    writing_to_what_is_packed,
    pack_hook_raises,
    writes_after_packing_are_not_seen,
    in_place_ops_pack_the_values_before,
    unpacking_to_another_dtype,
    numpy_on_disk_and_back,
    on_cpu,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_program_runs_as_under_pytorch(program, same):
    same(program)


@pytest.mark.parametrize(
    "write", [lambda x: x.add_(1), lambda x: x.data.add_(1), lambda x: x.detach().add_(1)], ids=["self", "data", "detached"]
)
def test_save_on_cpu_never_gives_a_wrong_gradient(write):
    x = cr.ones(2, requires_grad=True) * 3
    with save_on_cpu():
        y = x * x
    with cr.no_grad():
        write(x)
    if "data" in str(write.__code__.co_names):
        return  # PyTorch's own hole: `.data` has a counter of its own
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


class Bytes:
    """Hooks that lose everything but the numbers: what they pack has no level, no history, no tangent."""

    def __init__(self):
        self.packed = 0

    def pack(self, t):
        assert type(t) is cr.Tensor
        assert not t._level
        self.packed += 1
        return t.detach().numpy().copy()

    def hooks(self):
        return saved_tensors_hooks(self.pack, cr.from_numpy)


def function(x):
    u = x.exp() * x
    u = u * x.sin() + cr.stack([u, u]).amax(0)
    return (u * u).sum()


LOOKS = {
    "grad": lambda f, x: cr.func.grad(f)(x),
    "grad of grad": lambda f, x: cr.func.grad(lambda x: cr.func.grad(f)(x).sum())(x),
    "jvp of grad": lambda f, x: cr.func.jvp(cr.func.grad(f), (x,), (x.cos(),))[1],
    "grad of jvp": lambda f, x: cr.func.grad(lambda x: cr.func.jvp(f, (x,), (x.cos(),))[1])(x),
}


@pytest.mark.parametrize("look", LOOKS)
def test_hooks_work_inside_transforms(look):
    x, by = cr.tensor([0.5, 1.5], dtype=cr.float64), Bytes()
    plain = LOOKS[look](function, x)
    with by.hooks():
        hooked = LOOKS[look](function, x)
    assert by.packed > 3
    np.testing.assert_allclose(hooked.numpy(), plain.numpy(), rtol=1e-14)


def test_shape_that_unpacking_changed_is_refused():
    x = cr.ones(3, requires_grad=True)
    with saved_tensors_hooks(lambda t: t, lambda t: t[:1]):
        y = x.exp()
    with pytest.raises(RuntimeError, match="an unpack hook returned a tensor of shape"):
        y.sum().backward()


def test_graphs_with_hooks_are_freed():
    x = cr.ones(3, requires_grad=True)
    with saved_tensors_hooks(lambda t: t.detach(), lambda t: t):
        y = x.exp() * x
        z = x.cumsum(0).amax(0)
    nodes = [weakref.ref(t.grad_fn) for t in (y, z)]
    gc.collect()
    gc.disable()
    try:
        del y, z
        assert [r() for r in nodes] == [None, None]
    finally:
        gc.enable()


def test_other_threads_are_not_hooked():
    from threading import Thread

    def pack(t):
        raise AssertionError("packed in another thread")

    done = []
    x = cr.ones(3, requires_grad=True)
    with saved_tensors_hooks(pack, lambda t: t):
        thread = Thread(target=lambda: done.append(x.exp()))
        thread.start()
        thread.join()
    assert done
    with disable_saved_tensors_hooks("no"):
        thread = Thread(target=lambda: saved_tensors_hooks(pack, pack).__enter__() or done.append(1))
        thread.start()
        thread.join()
    assert len(done) == 2


class Entering(cr.autograd.Function):
    """Calls what it was given when its gradient is asked for."""

    @staticmethod
    def forward(ctx, x, enter):
        ctx.enter = enter
        return x * 2

    @staticmethod
    def backward(ctx, g):
        ctx.enter()
        return g * 2, None


PLACES = {
    "unpack hook": lambda x, y, enter: None,
    "tensor hook": lambda x, y, enter: y.register_hook(lambda g: enter()),
    "prehook": lambda x, y, enter: y.grad_fn.register_prehook(lambda g: enter()),
    "posthook": lambda x, y, enter: y.grad_fn.register_hook(lambda gi, go: enter()),
    "leaf hook": lambda x, y, enter: x.register_post_accumulate_grad_hook(lambda x: enter()),
}
MODES = {
    "saved_tensors_hooks": lambda: cr.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t).__enter__(),
    "disable_saved_tensors_hooks": lambda: cr.autograd.graph.disable_saved_tensors_hooks("no").__enter__(),
    "grad mode": lambda: cr.set_grad_enabled(False),
    "multithreading": lambda: cr.autograd.set_multithreading_enabled(False),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("place", [*PLACES, "function"])
def test_what_a_pass_enters_ends_with_it(place, mode):
    before, calls = modes(), []

    def enter():
        calls.append(mode)
        MODES[mode]()

    x = cr.tensor([1.0, 2.0], requires_grad=True)
    if place == "function":
        y = Entering.apply(x, enter)
    else:
        with cr.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: (place == "unpack hook" and enter(), t)[1]):
            y = x * x
        PLACES[place](x, y, enter)
    y.sum().backward()
    assert calls
    assert modes() is before
    assert x.grad.tolist() == ([2.0, 2.0] if place == "function" else [2.0, 4.0])

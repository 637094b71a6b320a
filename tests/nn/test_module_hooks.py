"""Hooks on modules: the same calls, in the same order, with the same gradients as under PyTorch."""

from __future__ import annotations

import copy
import importlib
import pickle
import warnings

import pytest
from tests.oracle import agree, outcome

import chainrule as cr


class _Program:
    """A small module of two inputs and two outputs, and a log of what its hooks saw."""

    def __init__(self, lib):
        class Pair(lib.nn.Module):
            def forward(self, x, y=None, scale=1.0):
                if x is None:
                    raise ValueError("no input")
                return (x.sin() * scale, x if y is None else x * y)

        self.lib, self.module, self.log = lib, Pair(), []

    def leaf(self, *values):
        return self.lib.tensor(list(values), requires_grad=True)

    def seen(self, name, answer=None):
        def hook(module, *args):
            flat = lambda v: [flat(p) for p in v] if isinstance(v, (tuple, list)) else v if v is None else v.detach() * 1
            self.log.append((name, [flat(a) for a in args if not isinstance(a, dict)]))
            return None if answer is None else answer(*args)

        return hook


def forward_hooks(p):
    p.module.register_forward_pre_hook(p.seen("second", lambda args: (args[0] * 2, *args[1:])))
    p.module.register_forward_pre_hook(p.seen("first", lambda args: args[0] + 1), prepend=True)
    p.module.register_forward_hook(p.seen("after", lambda args, out: (out[0] * 10, out[1])))
    handle = p.module.register_forward_hook(p.seen("removed"))
    handle.remove()
    return p.module(p.leaf(0.5, 1.0))


def keyword_hooks(p):
    p.module.register_forward_pre_hook(p.seen("pre", lambda args, kwargs: (args, {**kwargs, "scale": 3.0})), with_kwargs=True)
    p.module.register_forward_hook(p.seen("after", lambda args, kwargs, out: out[0] * kwargs["scale"]), with_kwargs=True)
    return p.module(p.leaf(0.5, 1.0), scale=2.0)


def wrong_keyword_hook(p):
    p.module.register_forward_pre_hook(lambda m, args, kwargs: args, with_kwargs=True)
    return p.module(p.leaf(0.5))


def always_called(p):
    p.module.register_forward_hook(p.seen("always", lambda args, out: None), always_call=True)
    p.module.register_forward_hook(p.seen("not"))
    try:
        p.module(None)
    except ValueError as error:
        p.log.append(str(error))
    return p.log


def backward_hooks(p):
    p.module.register_full_backward_pre_hook(p.seen("pre", lambda gs: (gs[0] * 2, gs[1])))
    p.module.register_full_backward_hook(p.seen("post"))
    p.module.register_full_backward_hook(p.seen("replaces", lambda gi, go: tuple(g if g is None else g * 3 for g in gi)))
    x, y = p.leaf(0.5, 1.0), p.leaf(2.0, -1.0)
    a, b = p.module(x, y)
    (a.sum() + (b * b).sum()).backward()
    return x.grad, y.grad, a.grad_fn.name(), p.log


def one_output_used(p):
    p.module.register_full_backward_hook(p.seen("post"))
    x = p.leaf(0.5, 1.0)
    a, _ = p.module(x)
    a.sum().backward()
    return x.grad, p.log


def inputs_without_gradient(p):
    linear = p.lib.nn.Linear(2, 1)
    linear.register_full_backward_hook(p.seen("post"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        linear(p.lib.ones(3, 2)).sum().backward()
    return linear.bias.grad, p.log


def wrong_number(p):
    p.module.register_full_backward_hook(lambda m, gi, go: (*gi, None))
    p.module(p.leaf(0.5))[0].sum().backward()


def wrong_number_before(p):
    p.module.register_full_backward_pre_hook(lambda m, gs: gs[:1])
    p.module(p.leaf(0.5))[0].sum().backward()


def second_order(p):
    p.module.register_full_backward_hook(lambda m, gi, go: (gi[0] * 2,))
    x = p.leaf(0.5, 1.0)
    (g,) = p.lib.autograd.grad(p.module(x)[0].sum(), x, create_graph=True)
    return g, p.lib.autograd.grad(g.sum(), x)


def without_grad_mode(p):
    p.module.register_full_backward_hook(p.seen("post"))
    with p.lib.no_grad():
        return p.module(p.leaf(0.5)), p.log


def edited_dictionaries(p):
    m = p.module
    m.register_forward_hook(p.seen("gone"))
    m._forward_hooks.clear()
    m._forward_hooks[-1] = p.seen("put")
    m._forward_pre_hooks[-2] = p.seen("before", lambda args: args[0] * 2)
    m.register_full_backward_hook(p.seen("backward"))
    x = p.leaf(0.5)
    m(x)[0].sum().backward()
    del m._forward_pre_hooks[-2]
    m._backward_hooks = type(m._backward_hooks)()
    m(x)[0].sum().backward()
    return x.grad, p.log, [len(getattr(m, f"_{k}_hooks")) for k in ("forward", "forward_pre", "backward", "backward_pre")]


def old_backward_hooks(p):
    class Scale(p.lib.nn.Module):
        def forward(self, x):
            return x * 3.0

    net = p.lib.nn.Sequential(Scale(), p.lib.nn.Tanh())
    for module in net:
        module.register_backward_hook(p.seen("old", lambda gi, go: tuple(g if g is None else g * 2 for g in gi)))
    x = p.leaf(0.5, 1.0)
    net(x).sum().backward()
    return x.grad, [(name, [v[:1] for v in values]) for name, values in p.log]


def old_hooks_and_full_ones(p):
    p.module.register_backward_hook(p.seen("old"))
    p.module.register_full_backward_hook(p.seen("full"))


def full_hooks_and_old_ones(p):
    p.module.register_full_backward_hook(p.seen("full"))
    p.module.register_backward_hook(p.seen("old"))


def old_hooks_warn(p):
    found = []
    for make in (lambda x: {"y": x * 2}, lambda x: (x * 2, x * 3), lambda x: (x * 2).sin()):
        layer = p.lib.nn.Module()
        layer.forward = make
        layer.register_backward_hook(p.seen("old"))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            layer(p.leaf(0.5))
        found.append([(w.category.__name__, str(w.message)) for w in caught])
    return found


def hooks_everywhere(p):
    m = importlib.import_module(f"{p.lib.__name__}.nn.modules.module")
    handles = [
        m.register_module_forward_pre_hook(p.seen("pre", lambda args: (args[0] * 2, *args[1:]))),
        m.register_module_forward_hook(p.seen("after")),
        m.register_module_full_backward_pre_hook(p.seen("backward pre")),
        m.register_module_full_backward_hook(p.seen("backward")),
    ]
    p.module.register_forward_pre_hook(p.seen("own"))
    x = p.leaf(0.5)
    try:
        p.module(x)[0].sum().backward()
        mixed = outcome(p.lib, lambda lib: m.register_module_backward_hook(p.seen("old")))[0]
    finally:
        for handle in handles:
            handle.remove()
    p.module(x)
    return x.grad, p.log, str(mixed)


def always_called_with_a_result(p):
    p.module.register_forward_hook(p.seen("always"), always_call=True, prepend=True)
    p.module.register_forward_hook(lambda m, args, out: 1 / 0)
    try:
        p.module(p.leaf(0.5))
    except ZeroDivisionError:
        p.log.append("raised")
    return p.log


def registration_hooks(p):
    m = importlib.import_module(f"{p.lib.__name__}.nn.modules.module")
    seen = lambda kind: lambda module, name, value: p.log.append((kind, type(module).__name__, name, value is None))
    other = lambda module, name, value: p.lib.nn.Tanh() if isinstance(value, p.lib.nn.ReLU) else None
    handles = [
        m.register_module_parameter_registration_hook(seen("parameter")),
        m.register_module_buffer_registration_hook(seen("buffer")),
        m.register_module_module_registration_hook(seen("module")),
        m.register_module_module_registration_hook(other),
    ]
    try:
        net = p.lib.nn.Sequential(p.lib.nn.BatchNorm1d(2), p.lib.nn.ReLU())
        net.own = p.lib.nn.ReLU()
        net[0].weight = None
        net[0].running_mean = p.lib.ones(2)
    finally:
        for handle in handles:
            handle.remove()
    return p.log, repr(net)


def state_hooks(p):
    net = p.lib.nn.Sequential(p.lib.nn.Linear(1, 2), p.lib.nn.Linear(2, 1, bias=False))
    net[0].register_state_dict_pre_hook(lambda m, prefix, keep: p.log.append(("saves", prefix, keep)))
    net[0].register_state_dict_post_hook(lambda m, state, prefix, meta: p.log.append(("saved", [*state], meta)))
    net[1]._register_state_dict_hook(lambda m, state, prefix, meta: {"new": 1})
    net._register_state_dict_hook(lambda m, state, prefix, meta: {k.replace("0.", "first."): v for k, v in state.items()})

    def renames(module, state, prefix, meta, strict, missing, unexpected, errors):
        p.log.append((type(module).__name__, [*state], prefix, meta, strict, missing[:], unexpected[:], errors[:]))
        for k in [k for k in state if k.startswith("first.")]:
            state[k.replace("first.", "0.")] = state.pop(k)

    net.register_load_state_dict_pre_hook(renames)
    net[0]._register_load_state_dict_pre_hook(lambda state, prefix, *rest: p.log.append(prefix))
    net.register_load_state_dict_post_hook(lambda m, keys: keys.unexpected_keys.clear())
    state = {k: v * 0 + 3 for k, v in net.state_dict().items()} | {"more": p.lib.ones(1)}
    keys = net.load_state_dict(state)
    return [*state], p.log, str(keys), net[0].weight.detach(), dict(net[0].state_dict()._metadata)


def loading_of_one_s_own(p):
    class Versioned(p.lib.nn.Module):
        _version = 3

        def __init__(self):
            super().__init__()
            self.w = p.lib.nn.Parameter(p.lib.ones(2))

        def _save_to_state_dict(self, destination, prefix, keep_vars):
            super()._save_to_state_dict(destination, prefix, keep_vars)
            destination[prefix + "twice"] = self.w.detach() * 2

        def _load_from_state_dict(self, state, prefix, meta, strict, missing, unexpected, errors):
            p.log.append((dict(meta), strict, prefix, [*state]))
            state[prefix + "w"] = state.pop(prefix + "twice") / 4
            super()._load_from_state_dict(state, prefix, meta, strict, missing, unexpected, errors)

    net = p.lib.nn.Sequential(Versioned())
    state = net.state_dict()
    found = [
        str(net.load_state_dict(state)),
        str(net.load_state_dict(dict(state))),
        str(net.load_state_dict(state, assign=True)),
    ]
    return found, p.log, net[0].w.detach(), [*state]


def old_states(p):
    net = p.lib.nn.BatchNorm1d(2)
    old = {k: v + 1 for k, v in net.state_dict().items() if k != "num_batches_tracked"}
    found = [str(net.load_state_dict(old)), net.running_mean, net.num_batches_tracked]
    instance = outcome(p.lib, lambda lib: lib.nn.InstanceNorm1d(2).load_state_dict({"running_mean": lib.ones(2)}))[0]
    return found, str(instance)


def post_hook_that_returns(p):
    layer = p.lib.nn.Linear(1, 1)
    layer.register_state_dict_post_hook(lambda m, state, prefix, meta: state)
    layer.state_dict()


def load_hook_that_returns(p):
    layer = p.lib.nn.Linear(1, 1)
    layer.register_load_state_dict_post_hook(lambda m, keys: keys)
    layer.load_state_dict(layer.state_dict())


def public_hook_registered_again(p):
    hook = lambda m, state, prefix, meta: None
    layer = p.lib.nn.Linear(1, 1)
    layer.register_state_dict_post_hook(hook)
    layer._register_state_dict_hook(hook)


PROGRAMS = [
    edited_dictionaries, old_backward_hooks, old_hooks_and_full_ones, full_hooks_and_old_ones, old_hooks_warn, hooks_everywhere,
    always_called_with_a_result, registration_hooks, state_hooks, loading_of_one_s_own, old_states, post_hook_that_returns,
    load_hook_that_returns, public_hook_registered_again,
    forward_hooks, keyword_hooks, wrong_keyword_hook, always_called, backward_hooks, one_output_used, inputs_without_gradient,
    wrong_number, wrong_number_before, second_order, without_grad_mode,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_hooks_are_pytorchs(torch, program):
    run = lambda lib: program(_Program(lib))
    agree(outcome(cr, run)[0], outcome(torch, run)[0], rtol=1e-6, full_text=False)


def test_copies_keep_hooks():
    layer, calls = cr.nn.ReLU(), []
    layer.register_forward_hook(lambda m, args, out: calls.append(m))
    twin = copy.deepcopy(layer)
    twin(cr.ones(1))
    assert calls == [twin]


def _keep(module, args, out):
    return out + module.weight.sum()


def test_hooks_are_pickled_and_older_pickles_get_what_they_lack():
    layer = cr.nn.Linear(1, 1)
    layer.register_forward_hook(_keep)
    twin = pickle.loads(pickle.dumps(layer))
    assert cr.equal(twin(cr.ones(1)), layer(cr.ones(1)))
    bare = cr.nn.Linear.__new__(cr.nn.Linear)
    bare.__setstate__({k: v for k, v in layer.__dict__.items() if k not in ("_non_persistent_buffers_set", "_hooked")})
    assert cr.equal(bare(cr.ones(1)), layer(cr.ones(1)))
    assert [*bare.state_dict()] == ["weight", "bias"]


def test_load_hooks_of_copies_see_the_copies():
    layer, seen = cr.nn.Linear(1, 1), []
    layer.register_load_state_dict_pre_hook(lambda module, *rest: seen.append(module))
    twin = copy.deepcopy(layer)
    twin.load_state_dict(layer.state_dict())
    assert seen == [twin]


def test_hooks_under_transforms():
    layer, seen = cr.nn.Tanh(), []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append(len(gi)) or (gi[0] * 2,))
    x = cr.tensor([0.1, 0.2])
    g = cr.func.grad(lambda x: layer(x).sum())(x)
    assert seen == [1]
    assert cr.allclose(g, 2 / x.cosh() ** 2)
    each = cr.func.vmap(cr.func.grad(lambda x: layer(x).sum()))(x)
    assert seen == [1, 1]
    assert cr.allclose(each, g)

"""What programs do with modules beyond calling them: PyTorch's results, errors and warnings."""

from __future__ import annotations

import pytest
from tests.oracle import agree, outcome, words

import chainrule as cr


def shared(lib):
    inner = lib.nn.Linear(1, 1)
    return lib.nn.Sequential(inner, lib.nn.Sequential(inner, lib.nn.BatchNorm1d(1)))


def named(lib):
    net = shared(lib)
    found = [len(list(net.modules())), len(list(net.modules(remove_duplicate=False)))]
    for options in ({}, {"recurse": False}, {"remove_duplicate": False}, {"prefix": "p"}):
        found.append([name for name, _ in net._named_members(lambda m: m._parameters.items(), **options)])
        found.append([name for name, _ in net.named_buffers(**options)])
    return found


def submodules(lib):
    net = shared(lib)
    net.set_submodule("1.0", lib.nn.Tanh())
    net.set_submodule("2", lib.nn.ReLU())
    net.set_submodule("1.1", lib.nn.ReLU(), strict=True)
    return words(repr(net))


def emptied(lib):
    net = shared(lib).double()
    weight = net[0].weight
    net[0].bias.requires_grad_(False)
    net.to_empty(device="cpu")
    return weight is net[0].weight, [(tuple(p.shape), str(p.dtype)[-7:], p.requires_grad) for p in net.parameters()]


def applied(lib):
    class Own(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.extra = lib.ones(2)

        def _apply(self, fn, recurse=True):
            super()._apply(fn, recurse)
            self.extra = fn(self.extra)
            return self

    net = lib.nn.Sequential(Own())
    seen = []
    net.append(lib.nn.Linear(1, 1))
    net._apply(lambda t: seen.append(isinstance(t, lib.nn.Parameter)) or t)
    return seen, str(net.double()[0].extra.dtype)[-7:]


def without_persistence(lib):
    class Older(lib.nn.Module):
        def register_buffer(self, name, tensor):
            super().register_buffer(name, tensor)

    m = Older()
    m.register_buffer("b", lib.ones(1))
    m.b = lib.zeros(2)
    return list(m.state_dict()), m.b


def base_and_mixin(lib):
    class Mixin:
        def __init__(self, size, *, more):
            self.size, self.more = size, more

    class Own(lib.nn.Module, Mixin):
        call_super_init = True

    m = Own(3, more=4)
    return m.size, m.more, list(m._parameters)


def positional_state(lib):
    net = lib.nn.Linear(1, 1)
    given = {}
    return net.state_dict(given, "x.", True) is given, list(given), given["x.weight"] is net.weight


PROGRAMS = [named, submodules, emptied, applied, without_persistence, base_and_mixin]
ERRORS = {
    "path without a name": lambda lib: shared(lib).set_submodule("", lib.nn.ReLU()),
    "no module": lambda lib: shared(lib).set_submodule("0", 1),
    "not there": lambda lib: shared(lib).set_submodule("3", lib.nn.ReLU(), strict=True),
    "no way": lambda lib: shared(lib).set_submodule("4.0", lib.nn.ReLU()),
    "in place of a parameter": lambda lib: shared(lib).set_submodule("0.weight", lib.nn.ReLU()),
    "argument": lambda lib: type("Own", (lib.nn.Module,), {})(1),
    "keyword": lambda lib: type("Own", (lib.nn.Module,), {})(size=1),
    "before init": lambda lib: type("Own", (lib.nn.Module,), {"__init__": lambda self: setattr(self, "p", lib.nn.ReLU())})(),
}


@pytest.mark.parametrize("program", [*PROGRAMS, *ERRORS.values()], ids=[*[p.__name__ for p in PROGRAMS], *ERRORS])
def test_program_is_pytorch_s(torch, program):
    agree(outcome(cr, program)[0], outcome(torch, program)[0], full_text="Parameter" not in str(program))


@pytest.mark.parametrize("program", [positional_state, lambda lib: lib.nn.Linear(1, 1).to(lib.complex64).weight.is_complex()])
def test_program_warns_as_under_pytorch(torch, program):
    (ours, said), (theirs, meant) = outcome(cr, program), outcome(torch, program)
    agree(ours, theirs)
    assert [kind for kind, _ in said] == [kind for kind, _ in meant]
    assert [text.split()[:6] for _, text in said] == [text.split()[:6] for _, text in meant]


@pytest.mark.parametrize("method", ["cuda", "xpu", "ipu", "mtia", "share_memory"])
def test_other_devices_and_shared_memory_are_refused_and_told(method):
    with pytest.raises((AssertionError, RuntimeError, NotImplementedError)):
        getattr(cr.nn.Linear(1, 1), method)()
    assert getattr(cr.nn.ReLU(), method)().training
    assert cr.nn.Linear(1, 1).compile(mode="default") is None


def test_a_class_in_a_models_place_is_told_from_its_instances():
    with pytest.raises(
        TypeError, match=r"chainrule\.nn\.modules\.piecewise\.ReLU is not a Module subclass: give an instance, such as"
    ):
        cr.nn.Sequential(cr.nn.Linear(2, 2), cr.nn.ReLU)

"""Attributes that programs give tensors: they stay with the object, and copies and files have them as PyTorch's do."""

from __future__ import annotations

import copy
import io
import pickle
import sys

import pytest

import chainrule as cr


def classes(lib):
    """Return subclasses of a library's tensor, under names by which pickle finds them here."""

    class Plain(lib.Tensor):
        pass

    class Slotted(lib.Tensor):
        __slots__ = ("extra",)

    class Stateful(lib.Tensor):
        def __getstate__(self):
            return {"kept": 7}

        def __setstate__(self, state):
            self.got = state

    for cls in (Plain, Slotted, Stateful):
        cls.__qualname__ = cls.__name__
        cls.__module__ = __name__
        setattr(sys.modules[__name__], cls.__name__, cls)
    return Plain, Slotted, Stateful


def given(lib):
    """Return tensors of several classes with attributes."""
    plain, slotted, stateful = classes(lib)
    made = {
        "tensor": lib.tensor([1.0, 2.0]),
        "leaf": lib.ones(2, requires_grad=True),
        "parameter": lib.nn.Parameter(lib.ones(2)),
        "subclass": plain([1.0, 2.0]),
        "slots": slotted([1.0, 2.0]),
        "state": stateful([1.0, 2.0]),
    }
    for t in made.values():
        t.tag = ["a", 1]
    made["slots"].extra = 5
    return made


def saved(lib, t):
    file = io.BytesIO()
    lib.save(t, file)
    file.seek(0)
    with lib.serialization.safe_globals([type(t)]):
        return lib.load(file)


WAYS = {
    "copy": lambda L, t: copy.copy(t),
    "deepcopy": lambda L, t: copy.deepcopy(t),
    "pickle": lambda L, t: pickle.loads(pickle.dumps(t)),
    "file": saved,
    "clone": lambda L, t: t.clone(),
    "detach": lambda L, t: t.detach(),
    "data": lambda L, t: t.data,
    "to": lambda L, t: t.to("cpu"),
    "write": lambda L, t: t.detach().add_(0),
}


def attributes(lib, name, way):
    t = WAYS[way](lib, given(lib)[name])
    return type(t).__name__, dict(t.__dict__), getattr(t, "extra", None), t.requires_grad, t.tolist()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["tensor", "leaf", "parameter", "subclass", "slots", "state"])
def test_attributes_live_as_in_pytorch(torch, name, way):
    if way == "deepcopy" and name in ("subclass", "slots", "state"):  # which PyTorch refuses for want of `new_empty`
        assert attributes(cr, name, way)[1]["tag"] == ["a", 1]
    else:
        assert attributes(cr, name, way) == attributes(torch, name, way)


def test_attributes_stay_through_writes_transforms_and_conversions():
    x = cr.ones(2)
    x.kept = 1
    x.mul_(2)
    x[0] = 3
    x.requires_grad_()
    cr.func.grad(lambda a: a.sum())(x)
    assert x.kept == 1
    layer = cr.nn.Linear(2, 2)
    layer.weight.kept = 2
    layer.to(cr.float64).load_state_dict(cr.nn.Linear(2, 2).state_dict())
    assert layer.weight.kept == 2
    assert not hasattr(copy.deepcopy(layer).weight, "kept")  # as in PyTorch


def test_what_a_tensor_has_itself_is_not_overwritten():
    x = cr.ones(2)
    for name in ("grad_fn", "shape", "is_leaf"):
        with pytest.raises(AttributeError):
            setattr(x, name, 1)
    x.self = x
    assert copy.deepcopy(x).self is not x
    with pytest.raises(AttributeError, match="has no attribute 'missing'"):
        _ = x.missing

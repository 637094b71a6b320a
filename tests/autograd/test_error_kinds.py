"""Every kind of error that PyTorch's users rely on: the same program raises the same type with the same opening words."""

from __future__ import annotations

import copy
import re
import warnings

import numpy as np
import pytest
from tests.each import by_name
from tests.oracle import words

import chainrule as cr

X = np.array([1.0, 2.0, 3.0])


def leaf(lib, values=X):
    return lib.tensor(np.asarray(values), requires_grad=True)


def no_grad_view(lib):
    x = leaf(lib).clone()
    with lib.no_grad():
        return x[:1]


def modified(lib):
    x = leaf(lib)
    y = x.exp()
    y.add_(1)
    y.sum().backward()


def twice(lib):
    y = leaf(lib).exp().sum()
    y.backward()
    y.backward()


def anomaly(lib):
    x = lib.tensor([-1.0, 1.0], requires_grad=True)
    with lib.autograd.detect_anomaly():
        (lib.sqrt(x) * 0).sum().backward()


def hooked(lib, hook):
    x = leaf(lib)
    x.register_hook(hook)
    x.sum().backward()


def function(lib, **members):
    """Return a custom Function that doubles, with some members replaced."""
    given = {
        "forward": staticmethod(lambda ctx, x: x * 2),
        "backward": staticmethod(lambda ctx, g: g * 2),
    } | {name: staticmethod(f) if callable(f) else f for name, f in members.items()}
    return type("A", (lib.autograd.Function,), {name: f for name, f in given.items() if f is not None})


def once(lib):
    from importlib import import_module

    once_differentiable = import_module(f"{lib.__name__}.autograd.function").once_differentiable
    A = function(lib, backward=once_differentiable(lambda ctx, g: g * 2))
    x = leaf(lib)
    (g,) = lib.autograd.grad((A.apply(x) * x).sum(), x, create_graph=True)
    g.sum().backward()


def dual(lib, primal, tangent):
    fw = lib.autograd.forward_ad
    with fw.dual_level():
        return fw.make_dual(primal, tangent)


def inference(lib):
    with lib.inference_mode():
        return lib.ones(2)


def no_jvp(lib):
    fw = lib.autograd.forward_ad
    with fw.dual_level():
        return function(lib).apply(fw.make_dual(lib.ones(2), lib.ones(2)))


def of_saved(lib):
    y = leaf(lib).exp()
    y.sum().backward()
    return y.grad_fn._saved_result


def both_vmap_kinds(lib):
    A = function(
        lib, forward=lambda x: x * 2, setup_context=lambda ctx, i, o: None, vmap=lambda i, d, x: (x, 0), generate_vmap_rule=True
    )
    return lib.func.vmap(A.apply)(lib.ones(2, 2))


def captured(lib):
    kept = lib.ones(3)
    return lib.func.grad(lambda x: kept.add_(x).sum())(lib.ones(3))


BACKWARD = {
    "second backward": twice,
    "second backward through a part": lambda lib: [(y := leaf(lib).exp()).sum().backward(), (y * 2).sum().backward()],
    "saved values after backward": of_saved,
    "non-scalar root": lambda lib: leaf(lib).exp().backward(),
    "non-scalar root of grad": lambda lib: lib.autograd.grad((x := leaf(lib)).exp(), x),
    "complex root": lambda lib: leaf(lib, 1 + 2j).exp().backward(),
    "no graph": lambda lib: lib.ones(()).backward(),
    "no graph among several": lambda lib: lib.autograd.backward([leaf(lib).sum(), lib.ones(())]),
    "made under no_grad": lambda lib: lib.no_grad()(lambda: leaf(lib).sum())().backward(),
    "unused input": lambda lib: lib.autograd.grad(leaf(lib).sum(), leaf(lib)),
    "unused second input": lambda lib: lib.autograd.grad((x := leaf(lib)).sum(), (x, leaf(lib))),
    "input not tracked": lambda lib: lib.autograd.grad(leaf(lib).sum(), lib.ones(3)),
    "backward's input not tracked": lambda lib: leaf(lib).sum().backward(inputs=[lib.ones(3)]),
    "no inputs": lambda lib: lib.autograd.grad(leaf(lib).sum(), []),
    "no inputs of backward": lambda lib: leaf(lib).sum().backward(inputs=[]),
    "materialize": lambda lib: lib.autograd.grad((x := leaf(lib)).sum(), x, allow_unused=False, materialize_grads=True),
    "shape of grad_output": lambda lib: leaf(lib).exp().backward(lib.ones(2, dtype=lib.float64)),
    "shape of grad_output of grad": lambda lib: lib.autograd.grad((x := leaf(lib)).exp(), x, lib.ones(2, dtype=lib.float64)),
    "complex grad_output": lambda lib: leaf(lib).exp().backward(lib.ones(3, dtype=lib.complex128)),
}
INPLACE = {
    "on a leaf": lambda lib: leaf(lib).add_(1),
    "on a leaf by index": lambda lib: leaf(lib).__setitem__(0, 1.0),
    "on a view of a leaf": lambda lib: leaf(lib)[:1].add_(1),
    "on a saved result": modified,
    "on a saved input": lambda lib: [x := leaf(lib).clone(), y := x.sin(), x.add_(1), y.sum().backward()],
    "on a saved leaf through detach": lambda lib: [x := leaf(lib), y := x * x, x.detach().add_(1), y.sum().backward()],
    "on an unbound view": lambda lib: leaf(lib).clone().unbind(0)[0].add_(1),
    "on a split view": lambda lib: leaf(lib).clone().split(2)[0].add_(1),
    "on a view made under no_grad": lambda lib: no_grad_view(lib).mul_(leaf(lib)[:1]),
    "on an expanded tensor": lambda lib: lib.ones(1).expand(3).add_(1),
    "to another dtype": lambda lib: lib.ones(2, dtype=lib.int64).add_(0.5),
    "to another shape": lambda lib: lib.ones(2).add_(lib.ones(3, 2)),
    "detach_ of a view": lambda lib: leaf(lib).clone()[:1].detach_(),
}
STATE = {
    "integers by flag": lambda lib: lib.ones(2, dtype=lib.int64).requires_grad_(),
    "integers by attribute": lambda lib: setattr(lib.ones(2, dtype=lib.int64), "requires_grad", True),
    "integers by factory": lambda lib: lib.tensor([1, 2], requires_grad=True),
    "unset on a result": lambda lib: setattr(leaf(lib).exp(), "requires_grad", False),
    "unset on a result by method": lambda lib: leaf(lib).exp().requires_grad_(False),
    "numpy": lambda lib: leaf(lib).numpy(),
    "asarray": lambda lib: np.asarray(leaf(lib)),
    "numpy of a result": lambda lib: leaf(lib).exp().numpy(),
    "bool of many": lambda lib: bool(leaf(lib) > 1),
    "bool of none": lambda lib: bool(lib.ones(0)),
    "item of many": lambda lib: leaf(lib).item(),
    "float of many": lambda lib: float(leaf(lib)),
    "grad of another size": lambda lib: setattr(leaf(lib), "grad", lib.ones(2, dtype=lib.float64)),
    "grad of another dtype": lambda lib: setattr(leaf(lib), "grad", lib.ones(3)),
    "grad of another type": lambda lib: setattr(leaf(lib), "grad", 1.0),
    "deepcopy of a result": lambda lib: copy.deepcopy(leaf(lib).exp()),
    "retain_grad of a constant": lambda lib: lib.ones(2).retain_grad(),
    "anomaly": anomaly,
    "grad of itself": lambda lib: setattr(x := leaf(lib), "grad", x),
}
HOOKS = {
    "on a constant": lambda lib: lib.ones(2).register_hook(lambda g: g),
    "post accumulate on a result": lambda lib: leaf(lib).exp().register_post_accumulate_grad_hook(lambda t: None),
    "post accumulate on a constant": lambda lib: lib.ones(2).register_post_accumulate_grad_hook(lambda t: None),
    "another size": lambda lib: hooked(lib, lambda g: g[:1]),
    "another type": lambda lib: hooked(lib, lambda g: 1),
    "another dtype": lambda lib: hooked(lib, lambda g: g.to(lib.complex128)),
    "disabled saved tensors": lambda lib: lib.autograd.graph.disable_saved_tensors_hooks("not here")(
        lambda: lib.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t).__enter__()
    )(),
}
FUNCTION = {
    "too many gradients": lambda lib: function(lib, backward=lambda ctx, g: (g, g)).apply(leaf(lib)).sum().backward(),
    "a gradient of another shape": lambda lib: function(lib, backward=lambda ctx, g: g[:2]).apply(leaf(lib)).sum().backward(),
    "a gradient of another type": lambda lib: function(lib, backward=lambda ctx, g: 1).apply(leaf(lib)).sum().backward(),
    "no backward": lambda lib: function(lib, backward=None).apply(leaf(lib)).sum().backward(),
    "no forward": lambda lib: function(lib, forward=None).apply(leaf(lib)),
    "no jvp": no_jvp,
    "once differentiable": once,
    "backward and vjp": lambda lib: function(lib, vjp=lambda ctx, g: g).apply(leaf(lib)).sum().backward(),
    "called": lambda lib: function(lib)()(leaf(lib)),
    "no vmap": lambda lib: lib.func.vmap(
        function(lib, forward=lambda x: x * 2, setup_context=lambda ctx, i, o: None).apply
    )(lib.ones(2, 2)),
    "vmap and generate_vmap_rule": both_vmap_kinds,
    "saved what is no tensor": lambda lib: function(
        lib, forward=lambda ctx, x: [ctx.save_for_backward(1), x * 2][1]
    ).apply(leaf(lib)),
    "saved twice": lambda lib: [y := function(
        lib, forward=lambda ctx, x: [ctx.save_for_backward(x), x * 2][1], backward=lambda ctx, g: g * ctx.saved_tensors[0]
    ).apply(leaf(lib)).sum(), y.backward(), y.backward()],
}  # fmt: skip
TRANSFORMS = {
    "grad of a vector": lambda lib: lib.func.grad(lambda x: x * 2)(lib.ones(3)),
    "grad of a number": lambda lib: lib.func.grad(lambda x: 1.0)(lib.ones(3)),
    "grad of too few": lambda lib: lib.func.grad(lambda x: x.sum(), argnums=1)(lib.ones(3)),
    "grad of an integer": lambda lib: lib.func.grad(lambda x: x.sum())(lib.ones(3, dtype=lib.int64)),
    "vjp of too many": lambda lib: lib.func.vjp(lambda x: x * 2, lib.ones(3))[1]((lib.ones(3), lib.ones(3))),
    "jvp of too few": lambda lib: lib.func.jvp(lambda x: x * 2, (lib.ones(3),), ()),
    "jvp without tuples": lambda lib: lib.func.jvp(lambda x: x * 2, lib.ones(3), lib.ones(3)),
    "jvp of another shape": lambda lib: lib.func.jvp(lambda x: x * 2, (lib.ones(3),), (lib.ones(2),)),
    "a captured tensor written": lambda lib: captured(lib),
    "vmap item": lambda lib: lib.func.vmap(lambda x: x.sum().item())(lib.ones(2, 3)),
    "vmap branch": lambda lib: lib.func.vmap(lambda x: x if x.sum() > 0 else -x)(lib.ones(2, 3)),
    "vmap nonzero": lambda lib: lib.func.vmap(lambda x: x.nonzero())(lib.ones(2, 3)),
    "vmap randomness": lambda lib: lib.func.vmap(lambda x: x + lib.rand(3))(lib.ones(2, 3)),
    "vmap sizes": lambda lib: lib.func.vmap(lambda x, y: x + y)(lib.ones(2), lib.ones(3)),
    "vmap input": lambda lib: lib.func.vmap(lambda x: x)(1.0),
    "vmap output": lambda lib: lib.func.vmap(lambda x: 1.0)(lib.ones(2)),
    "vmap in_dims": lambda lib: lib.func.vmap(lambda x: x, in_dims=(0, 0))(lib.ones(2)),
    "vmap out of range": lambda lib: lib.func.vmap(lambda x: x, in_dims=2)(lib.ones(2)),
    "vmap nothing": lambda lib: lib.func.vmap(lambda: lib.ones(2))(),
    "vmap mode": lambda lib: lib.func.vmap(lambda x: x, randomness="sometimes")(lib.ones(2)),
}
FORWARD = {
    "no level": lambda lib: lib.autograd.forward_ad.make_dual(lib.ones(2), lib.ones(2)),
    "another size": lambda lib: dual(lib, lib.ones(2), lib.ones(3)),
    "integers": lambda lib: dual(lib, lib.tensor([1, 2]), lib.ones(2)),
    "integer tangent": lambda lib: dual(lib, lib.ones(2), lib.tensor([1, 2])),
}
INFERENCE = {
    "requires_grad": lambda lib: inference(lib).requires_grad_(),
    "saved": lambda lib: (lib.ones(2, requires_grad=True) * inference(lib)).sum().backward(),
    "written": lambda lib: inference(lib).add_(1),
}
CHECKS = {
    "gradcheck": lambda lib: lib.autograd.gradcheck(lambda x: x.detach() * x, leaf(lib)),
    "gradcheck of constants": lambda lib: lib.autograd.gradcheck(lambda x: x, lib.ones(2)),
}
GROUPS = {
    "backward": BACKWARD, "in place": INPLACE, "state": STATE, "hooks": HOOKS, "Function": FUNCTION, "transforms": TRANSFORMS,
    "forward mode": FORWARD, "inference": INFERENCE, "checks": CHECKS,
}  # fmt: skip
CASES = [(group, name) for group, cases in GROUPS.items() for name in cases]


def raised(lib, program):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return None, program(lib)
        except Exception as error:
            return error, None


def opening(error):
    """Return the first forty letters of a message."""
    text = words(str(error)).strip()
    return re.sub(r"\s+", " ", text)[:40]


@by_name("case", CASES, ": ".join)
def test_the_error_is_pytorchs(torch, case):
    group, name = case
    theirs, _ = raised(torch, GROUPS[group][name])
    ours, given = raised(cr, GROUPS[group][name])
    assert theirs is not None, "PyTorch raises nothing"
    assert ours is not None, f"PyTorch: {theirs!r}; chainrule gives {given!r}"
    assert type(ours).__name__ == type(theirs).__name__, f"{ours!r}; PyTorch: {theirs!r}"
    assert opening(ours) == opening(theirs), f"{str(ours)!r}; PyTorch: {str(theirs)!r}"


def test_create_graph_of_backward_warns(torch):
    for lib in (torch, cr):
        with pytest.warns(UserWarning, match="^Using backward\\(\\) with create_graph=True will create a reference cycle"):
            leaf(lib).sum().backward(create_graph=True)


def test_only_inputs_is_without_effect_and_says_so(torch):
    for lib in (torch, cr):
        x = leaf(lib)
        with pytest.warns(FutureWarning, match="^only_inputs argument is deprecated and is ignored now"):
            (g,) = lib.autograd.grad(x.sum(), x, only_inputs=False)
        assert g.tolist() == [1, 1, 1]


UNDERIVED = {
    "floor_divide": lambda lib, x: x // 2,
    "floor_divide by itself": lambda lib, x: lib.floor_divide(x, x),
    "heaviside": lambda lib, x: lib.heaviside(x, lib.ones(3, dtype=lib.float64)),
    "unique": lambda lib, x: lib.unique(x),
    "unique_consecutive": lambda lib, x: lib.unique_consecutive(x),
    "unique of rows": lambda lib, x: lib.unique(x.reshape(3, 1), dim=0),
}


@pytest.mark.parametrize("name", list(UNDERIVED))
def test_functions_without_derivative_raise_when_it_is_asked_for(torch, name):
    def reverse(lib):
        y = UNDERIVED[name](lib, leaf(lib))
        assert y.requires_grad
        y.sum().backward()

    def forward(lib):
        x = leaf(lib).detach()
        lib.func.jvp(lambda x: UNDERIVED[name](lib, x), (x,), (x,))

    for program in (reverse, forward):
        raised = []
        for lib in (torch, cr):
            with pytest.raises(RuntimeError) as caught:
                program(lib)
            raised.append((caught.type, str(caught.value)[:28]))
        assert raised[0] == raised[1]


def test_bincount_is_linear_in_its_weights():
    w = cr.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (cr.bincount(cr.tensor([0, 2, 2]), w) * cr.tensor([5.0, 6.0, 7.0])).sum().backward()
    assert w.grad.tolist() == [5.0, 7.0, 7.0]

"""Calls that cannot succeed name what failed: the function, the argument, its type; a missing name, the one that was meant."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

import chainrule as cr
from chainrule import func, nn, optim
from chainrule.core.missing import torch_names

F = nn.functional
ONES = cr.ones(2)
LEAF = cr.ones(1, requires_grad=True)


INDICES = "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got "


def nested(depth):
    data = [1.0]
    for _ in range(depth):
        data = [data]
    return data


# program, error, its words: PyTorch's opening ones where it has such
ERRORS = [
    ("ONES.sum(1.0)", TypeError, "sum(): argument 'dim' (position 2) must be int or tuple of ints, not float"),
    ("ONES.sum(dim=[0.0])", TypeError, "sum(): argument 'dim' must be int or tuple of ints, not float"),
    ("cr.cumsum(ONES, 'a')", TypeError, "cumsum(): argument 'dim' (position 2) must be int, not str"),
    ("ONES.softmax(None, 3)", TypeError, "softmax(): argument 'dim' (position 2) must be int, not NoneType"),
    ("cr.topk(ONES, 1.5)", TypeError, "topk(): argument 'k' (position 2) must be int, not float"),
    ("cr.linspace(0, 1, 2.5)", TypeError, "linspace(): argument 'steps' (position 3) must be int, not float"),
    ("cr.eye('a')", TypeError, "eye(): argument 'n' (position 1) must be int, not str"),
    ("cr.tril(cr.ones(2, 2), 'a')", TypeError, "tril(): argument 'diagonal' (position 2) must be int, not str"),
    ("cr.diff(ONES, n=1.5)", TypeError, "diff(): argument 'n' must be int, not float"),
    ("ONES.gather(0, [0])", TypeError, "gather(): argument 'index' (position 3) must be Tensor, not list"),
    ("cr.where([True], 1, 2)", TypeError, "where(): argument 'condition' (position 1) must be Tensor, not list"),
    ("ONES.reshape('a')", TypeError, "sizes, steps and axes must be ints or one tuple of ints, not str"),
    ("ONES.permute(0.0)", TypeError, "sizes, steps and axes must be ints or one tuple of ints, not float"),
    ("cr.zeros('a')", TypeError, "zeros(): argument 'size' (position 1) must be tuple of ints, not str"),
    ("F.elu(ONES, 'a')", TypeError, "elu(): argument 'alpha' (position 2) must be Number, not str"),
    ("F.leaky_relu(ONES, 'a')", TypeError, "leaky_relu(): argument 'negative_slope' (position 2) must be Number, not str"),
    ("F.softplus(ONES, 'a')", TypeError, "softplus(): argument 'beta' (position 2) must be Number, not str"),
    ("nn.LeakyReLU('a')(ONES)", TypeError, "leaky_relu(): argument 'negative_slope' (position 2) must be Number, not str"),
    ("F.cross_entropy(cr.ones(2, 2), [0, 1])", TypeError,
     "cross_entropy(): argument 'target' (position 2) must be Tensor, not list"),
    ("F.cross_entropy(cr.ones(2, 2), cr.tensor([0, 1]), ignore_index='a')", TypeError,
     "cross_entropy(): argument 'ignore_index' must be int, not str"),
    ("cr.cat([1.0, 2.0])", TypeError, "expected Tensor as element 0 in argument 0, but got float"),
    ("cr.stack([ONES, 2])", TypeError, "expected Tensor as element 1 in argument 0, but got int"),
    ("cr.cat(1.0)", TypeError, "cat(): argument 'tensors' (position 1) must be tuple of Tensors, not float"),
    ("ONES['a']", TypeError, "new(): invalid data type 'str'"),
    ("ONES[1.0]", IndexError, INDICES + "float)"),
    ("ONES[{}]", IndexError, INDICES + "dict)"),
    ("~ONES", TypeError, "~ (operator.invert) is only implemented on integer and Boolean-type tensors"),
    ("cr.bitwise_not(ONES)", NotImplementedError, "\"bitwise_not_cpu\" not implemented for 'Float'"),
    ("cr.gcd(ONES, ONES)", NotImplementedError, "\"gcd_cpu\" not implemented for 'Float'"),
    ("cr.zeros(2**40, 2**40)", RuntimeError, "Storage size calculation overflowed with sizes=[1099511627776, 1099511627776]"),
    ("cr.randn(2**40, 2**40)", RuntimeError, "Storage size calculation overflowed with sizes="),
    ("optim.SGD([LEAF], lr='a')", TypeError, "SGD: lr must be a number, not str ('a')"),
    ("optim.SGD([LEAF], momentum=None)", TypeError, "SGD: momentum must be a number, not NoneType (None)"),
    ("optim.AdamW([LEAF], eps='a')", TypeError, "AdamW: eps must be a number, not str ('a')"),
    ("optim.Adam([LEAF], betas=0.9)", TypeError, "Adam: betas must be two numbers, not float (0.9)"),
    *[(f"func.{name}(3)", TypeError, f"'int' object is not callable: {said}() takes a function") for name, said in (
        ("jacobian", "jacobian"), ("jacrev", "jacrev"), ("jacfwd", "jacfwd"), ("hessian", "hessian"), ("grad", "grad"),
        ("vmap", "vmap"),
    )],
    ("func.vjp(3, ONES)", TypeError, "'int' object is not callable: vjp() takes a function"),
    ("func.jvp(3, (ONES,), (ONES,))", TypeError, "'int' object is not callable: jvp() takes a function"),
    ("nn.Conv9", AttributeError, "module 'chainrule.nn' has no attribute 'Conv9'"),
    ("nn.LinearCrossEntropyOptions", AttributeError, "module 'chainrule.nn' has no attribute 'LinearCrossEntropyOptions'"),
    ("cr.softmaxx", AttributeError, "module 'chainrule' has no attribute 'softmaxx'. Did you mean: 'softmax'?"),
    ("optim.Adamm", AttributeError, "module 'chainrule.optim' has no attribute 'Adamm'. Did you mean: 'Adam'?"),
    ("F.reluu", AttributeError, "module 'chainrule.nn.functional' has no attribute 'reluu'. Did you mean: 'relu'?"),
    ("func.jacrevv", AttributeError, "module 'chainrule.func' has no attribute 'jacrevv'. Did you mean: 'jacrev'?"),
    ("cr.autograd.gradd", AttributeError, "module 'chainrule.autograd' has no attribute 'gradd'. Did you mean: 'grad'?"),
    ("cr.zzzzzz", AttributeError, "module 'chainrule' has no attribute 'zzzzzz', and neither has PyTorch's"),
    ("cr.__wrapped__", AttributeError, "module 'chainrule' has no attribute '__wrapped__'"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")  # PyTorch warns as well
@pytest.mark.parametrize(("program", "kind", "words"), ERRORS, ids=[p for p, _, _ in ERRORS])
def test_error(program, kind, words):
    with pytest.raises(kind) as caught:
        eval(program)
    assert str(caught.value).startswith(words)


def test_errors_that_are_no_arguments_fault_stay():
    with pytest.raises(RuntimeError, match="same dtype"):
        F.linear(cr.ones(2).double(), cr.ones(2, 2))
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'dim'"):
        ONES.cumsum()
    with pytest.raises(TypeError, match="unexpected keyword argument 'dimm'"):
        ONES.sum(dimm=0)


def test_deep_lists():
    with pytest.raises((ValueError, RecursionError)):
        cr.tensor(nested(3000))
    assert cr.tensor(nested(20)).numel() == 1


@pytest.mark.parametrize("make", [optim.Adam, lambda ps: optim.SGD(ps, momentum=0.9)], ids=["Adam", "SGD"])
def test_a_step_with_state_of_other_shapes_names_the_parameter(make):
    def stepped(*shapes):
        params = [cr.ones(s, requires_grad=True) for s in shapes]
        for p in params:
            p.grad = cr.ones_like(p)
        made = make(params)
        made.step()
        return made

    source, target = stepped(2, 3), stepped(2, 1)
    target.load_state_dict(source.state_dict())
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"^The size of tensor a \(3\) must match .*(exp_avg|momentum).* parameter 1 of"):
            target.step()
    fitting = stepped(2, 3)
    fitting.load_state_dict(source.state_dict())
    fitting.step()
    assert pickle.loads(pickle.dumps(fitting.state_dict()))["param_groups"]


def test_missing_names_disturb_no_protocol():
    for module in (cr, nn, F, optim, func, cr.autograd):
        assert not hasattr(module, "no_such_name")
        assert not hasattr(module, "__wrapped__")
        assert inspect.getmodule(module.__dict__.get("__name__")) is None
        assert copy.copy(module.__name__) == module.__name__
    with pytest.raises(ImportError):
        exec("from chainrule.nn import Conv9")


def test_names_of_pytorch_are_up_to_date(torch):
    for module in ("nn", "optim", "func"):
        theirs = getattr(torch, module)
        for name in torch_names()[module]:
            assert hasattr(theirs, name)
    assert "linalg" in torch_names()[""]

"""``__torch_function__``: the documented programs and many small ones give the same under PyTorch and here."""

import copy
import functools
import inspect
import operator
import pickle
import subprocess
import sys
import threading
import warnings

import pytest
from tests.each import by_name

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import overrides
from chainrule import sin as taken_before

before = cr.add


class Named(cr.Tensor):
    """A subclass that overrides nothing."""


class Kept(cr.Tensor):
    """A subclass with an attribute."""

    def __new__(cls, data, unit=None):
        made = super().__new__(cls, data)
        made.unit = unit
        return made


class Asked(overrides.TorchFunctionMode):
    """Notes what it is asked about."""

    def __init__(self):
        self.calls = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.calls.append((func.__name__, len(types)))
        return func(*args, **(kwargs or {}))


# -- programs, run under both libraries ----------------------------------------------------------------------------------


def scalar_tensor(torch):
    """The look-alike of PyTorch's page on extending it."""
    handled = {}

    def implements(torch_function):
        def decorator(func):
            functools.update_wrapper(func, torch_function)
            handled[torch_function] = func
            return func

        return decorator

    class ScalarTensor:
        def __init__(self, n, value):
            self._n = n
            self._value = value

        def __repr__(self):
            return f"ScalarTensor(N={self._n}, value={self._value})"

        def tensor(self):
            return self._value * torch.eye(self._n)

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            if kwargs is None:
                kwargs = {}
            if func not in handled or not all(issubclass(t, (torch.Tensor, ScalarTensor)) for t in types):
                return NotImplemented
            return handled[func](*args, **kwargs)

    @implements(torch.mean)
    def mean(input):
        return float(input._value) / input._n

    @implements(torch.Tensor.add)
    @implements(torch.add)
    def add(input, other):
        if isinstance(input, ScalarTensor) and isinstance(other, ScalarTensor):
            return ScalarTensor(input._n, input._value + other._value)
        a = input.tensor() if isinstance(input, ScalarTensor) else input
        b = other.tensor() if isinstance(other, ScalarTensor) else other
        return torch.add(a, b)

    s = ScalarTensor(2, 2)
    yield repr(torch.add(s, s))
    yield torch.add(s, torch.ones(2, 2)).tolist()
    yield (torch.ones(2, 2) + s).tolist()
    yield (s + torch.ones(2, 2)).tolist()
    yield torch.mean(s)
    yield outcome(lambda: torch.mul(s, 3))
    yield outcome(lambda: torch.ones(2) - s)
    yield outcome(lambda: torch.cat([torch.ones(2), s]))


def metadata_tensor(torch):
    """The wrapper with metadata of the same page."""

    class MetadataTensor:
        def __init__(self, data, metadata=None, **kwargs):
            self._t = torch.as_tensor(data, **kwargs)
            self._metadata = metadata

        def __repr__(self):
            return f"Metadata:\n{self._metadata}\n\ndata:\n{self._t}"

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            if kwargs is None:
                kwargs = {}
            metadatas = tuple(a._metadata for a in args if hasattr(a, "_metadata"))
            args = [getattr(a, "_t", a) for a in args]
            assert len(metadatas) > 0
            return MetadataTensor(func(*args, **kwargs), metadata=metadatas[0])

    m = MetadataTensor([[1, 2], [3, 4]], metadata={"owner": "Ministry of Silly Walks"})
    yield repr(torch.add(torch.tensor([[1, 2], [1, 2]]), m))
    yield repr(torch.mul(torch.tensor([[1, 2], [1, 2]]), m))
    yield repr(torch.tensor([1]) - m)
    yield repr(torch.sum(m, dim=0))


def logging_tensor(torch):
    """The logging subclass of the same page."""
    lines = []

    class LoggingTensor(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            if func is not torch.Tensor.__repr__:
                lines.append((func.__name__, len(args)))
            if kwargs is None:
                kwargs = {}
            return super().__torch_function__(func, types, args, kwargs)

    a = LoggingTensor([[1.0, 2.0], [3.0, 4.0]])
    t = torch.ones(2, 2)
    for f in (
        lambda: a + t, lambda: t + a, lambda: a - 1, lambda: 2 * a, lambda: 2 - a, lambda: t - a, lambda: a / t, lambda: a @ a,
        lambda: a**2, lambda: -a, lambda: abs(a), lambda: a[0], lambda: a.T, lambda: a.shape, lambda: a.ndim, lambda: a.dtype,
        lambda: a.requires_grad, lambda: a.grad_fn, lambda: a.is_leaf, lambda: a.data, lambda: a.detach(), lambda: a.size(),
        lambda: a.add_(1), lambda: a.max(0), lambda: a.view(4), lambda: a.clone(), lambda: a.numel(), lambda: len(a),
        lambda: float(a.sum()), lambda: bool(a.sum() > 0), lambda: torch.relu(a), lambda: torch.nn.functional.relu(a),
        lambda: torch.nn.functional.mse_loss(a, t), lambda: torch.cat([a, t]), lambda: torch.stack((t, a)), lambda: a < t,
        lambda: torch.where(a > 1, a, t), lambda: torch.ones_like(a), lambda: torch.nn.Linear(2, 2)(a), lambda: a.tolist(),
        lambda: torch.sum(a, dim=0), lambda: a.to(torch.float64), lambda: a.unbind(), lambda: torch.split(a, 1),
        lambda: torch.is_tensor(a), lambda: a.copy_(t), lambda: t.copy_(a), lambda: a.sum().requires_grad_().backward(),
        lambda: a.__setitem__(0, 1), lambda: t.__setitem__(0, a[0]), lambda: torch.einsum("ij,jk", a, t), lambda: a.item,
        lambda: hash(a), lambda: a != t,
    ):  # fmt: skip
        lines.clear()
        out = f()
        kinds = [type(o).__name__ for o in out] if type(out) in (tuple, list) else type(out).__name__
        yield list(lines), kinds if isinstance(out, (torch.Tensor, tuple, list)) else None


def subclass_results(torch):
    """Types, memory, history and gradients of an ordinary subclass."""

    class Mine(torch.Tensor):
        pass

    class Yours(torch.Tensor):
        pass

    class Finer(Mine):
        pass

    a = Mine([1.0, 3.0])
    yield repr(a), type(a + 1).__name__, type(a.max(0)[0]).__name__, type(a.tolist()).__name__, a.shape == (2,)
    t = torch.ones(2)
    shared = t.as_subclass(Mine)
    shared.add_(1)
    yield t.tolist(), t._version, shared._is_view(), shared._base is t, type(shared._base).__name__
    yield Mine(t).data_ptr() == t.data_ptr(), type(Mine(t)).__name__
    x = torch.ones(2, requires_grad=True)
    y = x.as_subclass(Mine)
    yield type(y.grad_fn).__name__, y.grad_fn.next_functions[0][0].variable is x, y.is_leaf
    (y * y).sum().backward()
    yield type(x.grad).__name__, x.grad.tolist()
    leaf = Mine([1.0, 2.0]).requires_grad_()
    loss = (leaf * leaf).sum()
    yield type(leaf).__name__, type(loss).__name__
    (g,) = torch.autograd.grad(loss, leaf, create_graph=True)
    g.sum().backward()
    yield g.tolist(), type(leaf.grad).__name__, leaf.grad.tolist()
    p = torch.nn.Parameter(torch.ones(2))
    yield type(torch.tensor(a.detach())).__name__, type(torch.as_tensor(a)).__name__, type(a.clone()).__name__
    yield type(p * 2).__name__, type(p * a).__name__, type(torch.nn.functional.relu(a)).__name__
    yield type(Finer([1.0]) + a).__name__, type(a + Finer([1.0])).__name__
    yield outcome(lambda: a + Yours([1.0]))
    yield type(a.as_subclass(torch.Tensor)).__name__, type(a.new_zeros(2)).__name__
    yield outcome(lambda: t.as_subclass(int)), outcome(lambda: t.as_subclass(3))
    yield type(Mine._make_subclass(Mine, t, True)).__name__, Mine._make_subclass(Mine, t, True).requires_grad
    yield type(torch.func.grad(lambda z: z.sum())(a)).__name__, torch.func.grad(lambda z: (z * z).sum())(a).tolist()
    yield torch.vmap(lambda z: z * 2)(a).tolist()


def precedence(torch):
    """Who is asked, in which order, and what a refusal leads to."""
    order = []

    def overriding(name, bases=(), answer=NotImplemented):
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            order.append((cls.__name__, func.__name__, [t.__name__ for t in types]))
            return answer

        return type(name, bases, {"__torch_function__": classmethod(__torch_function__)})

    A = overriding("A")
    B = overriding("B", (A,), "B's")
    C = overriding("C", (), "C's")
    t = torch.ones(2)
    for f in (
        lambda: torch.add(A(), B()), lambda: torch.add(A(), C()), lambda: torch.add(C(), A()), lambda: torch.add(t, C()),
        lambda: torch.add(A(), A()), lambda: torch.stack([t, C(), B()]), lambda: t.add(C()), lambda: t + C(), lambda: C() + t,
        lambda: t * A(), lambda: t != A(), lambda: t.add_(C()), lambda: torch.sum(C(), dim=0), lambda: torch.clamp(t, min=C()),
        lambda: torch.nn.functional.relu(C()), lambda: t[C()], lambda: operator.setitem(t, 0, C()), lambda: t.__iadd__(C()),
    ):  # fmt: skip
        order.clear()
        yield outcome(f), list(order)


def modes(torch):
    """What modes see, nested and with subclasses."""
    seen = []

    class Seen(torch.overrides.TorchFunctionMode):
        def __init__(self, name):
            self.name = name

        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append((self.name, func.__name__, [t.__name__ for t in types if t is not torch.Tensor]))
            return func(*args, **(kwargs or {}))

    class Mine(torch.Tensor):
        pass

    class Doubled(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            return 2 * out if func is torch.ones else out

    layer = torch.nn.Linear(1, 1, bias=False)
    with Seen("outer"):
        x = torch.tensor([1.0]) * torch.ones(1)
        with Seen("inner"):
            torch.nn.functional.relu(x)
        y = Mine([1.0])
        y = y + x
        layer(x)
        z = x.detach().requires_grad_()
        (z * z).sum().backward()
        torch.manual_seed(0)
        torch.is_tensor(x)
    yield type(y).__name__, list(seen)
    with Doubled():
        yield torch.ones(1).item()
    yield torch.ones(1).item()


def protocol_functions(torch):
    """The functions for those who write functions."""
    o = torch.overrides

    class Mine(torch.Tensor):
        pass

    class Alike:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return func.__name__, [t.__name__ for t in types], args[1:], sorted(kwargs or {})

    def own(a, b=1):
        if o.has_torch_function_unary(a):
            return o.handle_torch_function(own, (a,), a, b=b)
        return a * b

    @o.wrap_torch_function(lambda a, b=1: (a, b))
    def wrapped(a, b=1):
        return a * b

    t, mine = torch.ones(2), Mine([1.0])
    yield o.has_torch_function((t, 1)), o.has_torch_function((mine,)), o.has_torch_function_variadic(t, Alike())
    yield o.has_torch_function_unary(torch.nn.Parameter(t)), o.has_torch_function(())
    yield own(Alike(), b=3), own(mine).tolist(), type(own(mine)).__name__, wrapped(t, 2).tolist(), wrapped(t, b=Alike())
    yield [o.is_tensor_like(v) for v in (t, mine, Alike(), 6, None)]
    yield [o.is_tensor_method_or_property(f) for f in (torch.Tensor.add, torch.add, torch.Tensor.shape.__get__, torch.relu)]
    yield [
        str(o.resolve_name(f)).partition(".")[2] for f in (torch.add, torch.Tensor.add, torch.Tensor.shape.__get__, torch.sum)
    ]
    yield torch.Tensor.as_subclass in o.get_ignored_functions(), torch.add in o.get_ignored_functions()
    yield o.get_default_nowrap_functions() == {f.__get__ for f in (torch.Tensor.grad, torch.Tensor._base, torch.Tensor._grad)}


def outcome(f):
    """What a call gives, or the type of its error and the first words."""
    try:
        result = f()
    except Exception as error:
        return type(error).__name__, "nobody" if "mplement" in str(error) else str(error).replace("torch", "chainrule")
    return result if not hasattr(result, "tolist") else result.tolist()


PROGRAMS = [
    scalar_tensor, metadata_tensor, logging_tensor, subclass_results, precedence, modes, protocol_functions,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.filterwarnings("ignore:.*scalar may lead:UserWarning", "ignore:The use of `x.T`:UserWarning", "ignore:To copy")
def test_program_gives_the_same_as_under_pytorch(program, torch):
    theirs = list(program(torch))
    ours = list(program(cr))
    for mine, their in zip(ours, theirs, strict=True):
        assert mine == their


# -- what is chainrule's own ---------------------------------------------------------------------------------------------


def test_functions_stay_the_same_objects_and_names_taken_before_ask_too():
    assert cr.add is before
    assert type(taken_before(Named([1.0]))) is Named
    with Asked() as mode:
        taken_before(cr.ones(1))
    assert ("sin", 0) in mode.calls


def test_signatures_and_docstrings_stay():
    assert list(inspect.signature(cr.sum).parameters)[:2] == ["input", "dim"]
    assert list(inspect.signature(cr.Tensor.size).parameters) == ["self", "dim"]
    assert cr.add.__doc__
    assert cr.Tensor.shape.__doc__ == "Sizes of the axes."


def test_every_declared_function_looks_for_overrides():
    from chainrule.functions.adapt import FUNCTIONS

    asked = {f for functions in overrides.get_overridable_functions().values() for f in functions}
    assert not [name for name, f in FUNCTIONS.items() if f.call not in asked | overrides.get_ignored_functions()]


@by_name("name", sorted(F.__all__), str)
def test_every_function_of_nn_looks_for_overrides(name):
    class Alike:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return func

    assert getattr(F, name)(Alike()) is getattr(F, name)


def test_functions_declared_later_look_for_overrides():
    from chainrule.core.op.declaration import TABLE
    from chainrule.functions.adapt import FUNCTIONS

    f = cr.library.public(lambda x: x * 3, name="threefold_for_test", inplace=True)
    try:
        assert type(f(Named([1.0]))) is Named
        with Asked() as mode:
            cr.ones(1).threefold_for_test_()
        assert mode.calls == [("ones", 0), ("threefold_for_test_", 0)]
    finally:
        FUNCTIONS.pop("threefold_for_test")
        TABLE.pop("threefold_for_test", None)
        del cr.Tensor.threefold_for_test, cr.Tensor.threefold_for_test_


def test_copies_and_pickles_keep_class_and_attributes():
    b = pickle.loads(pickle.dumps(cr.nn.Buffer(cr.ones(2), persistent=False)))
    assert (type(b), b.persistent) == (cr.nn.Buffer, False)
    x = Kept([1.0, 2.0], unit=["m"]).requires_grad_()
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert type(y) is Kept
        assert y.unit == ["m"]
        assert y.unit is not x.unit
        assert y.requires_grad
        assert y.tolist() == [1.0, 2.0]


def test_writes_through_a_subclass_reach_the_history_of_its_base():
    x = cr.ones(2, requires_grad=True)
    y = x * 1
    z = y.as_subclass(Named)
    z.mul_(3)
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_derivative_of_every_order_flows_through_a_change_of_class():
    x = cr.tensor([2.0], requires_grad=True)
    y = x.as_subclass(Named) ** 3
    (g,) = cr.autograd.grad(y.sum(), x, create_graph=True)
    (h,) = cr.autograd.grad(g.sum(), x, create_graph=True)
    assert (g.item(), h.item()) == (12.0, 12.0)


def test_values_inside_a_transform_are_plain_whatever_the_captured_subclass():
    w = Named([3.0]).requires_grad_()
    x = cr.tensor([2.0])
    kinds = []

    def f(z):
        kinds.append(type(z * w))
        return (z * w).sum()

    g = cr.func.grad(f)(x)
    assert g.tolist() == [3.0]
    assert Named not in kinds
    _, t = cr.func.jvp(f, (Named([2.0]),), (Named([1.0]),))
    assert t.item() == 3.0
    assert cr.vmap(f)(cr.ones(2, 1)).tolist() == [3.0, 3.0]
    with pytest.raises(RuntimeError, match="inside a transform"):
        cr.func.grad(lambda z: z.as_subclass(Named).sum())(x)


def test_backward_asks_no_class_about_the_rules_it_runs():
    calls = []

    class Noted(cr.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            calls.append(func.__name__)
            return super().__torch_function__(func, types, args, kwargs)

    x = Noted([2.0]).requires_grad_()
    y = (x**3).as_subclass(cr.Tensor).sum()
    calls.clear()
    edge = cr.autograd.graph.get_gradient_edge(x)
    calls.clear()
    (g,) = cr.autograd.grad(y, edge, create_graph=True)
    assert calls == []
    assert type(g) is cr.Tensor
    assert g.tolist() == [12.0]


def test_disabled_classes_and_modes_are_not_asked():
    x = Named([1.0])
    with overrides.DisableTorchFunctionSubclass():
        assert type(x + 1) is cr.Tensor
        with Asked() as mode:
            cr.sin(x)
        assert mode.calls == [("sin", 0)]
    with Asked() as mode, overrides.DisableTorchFunction():
        assert type(cr.sin(x)) is cr.Tensor
    assert mode.calls == []
    assert type(x + 1) is Named


def test_a_subclass_of_parameter_asks_nobody():
    class Scale(cr.nn.Parameter):
        pass

    p = Scale(cr.ones(2))
    assert type(p * 2) is cr.Tensor
    assert not overrides.has_torch_function((p,))


def test_a_mode_is_its_threads_own():
    seen = []
    with Asked() as mode:
        thread = threading.Thread(target=lambda: seen.append(cr.ones(2).tolist()))
        thread.start()
        thread.join()
    assert seen == [[1.0, 1.0]]
    assert mode.calls == []


def test_an_error_leaves_the_mode():
    with pytest.raises(ZeroDivisionError), Asked():
        raise ZeroDivisionError
    assert not overrides.has_torch_function(())


def test_plain_methods_are_deprecated():
    class Alike:
        def __torch_function__(self, func, types, args=(), kwargs=None):
            return 7

    with pytest.warns(DeprecationWarning, match="plain method"):
        assert cr.add(Alike(), 1) == 7


def test_a_tensor_of_pytorch_does_not_override(torch):
    with pytest.raises(TypeError):
        cr.ones(2) + torch.ones(2)
    with pytest.raises(TypeError):
        torch.add(Named([1.0]), torch.ones(2))
    assert cr.from_dlpack(torch.ones(2)).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "call",
    [
        "cr.ones(2) + Alike()",
        *[pytest.param(call, marks=pytest.mark.slow) for call in ("cr.sin(Alike())", "cr.add(cr.ones(2), Alike())")],
    ],
)
def test_a_look_alike_met_before_the_import_gets_an_error_that_names_it(call):
    program = f"""
import sys
import chainrule as cr
class Alike:
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return 7
assert "chainrule.overrides" not in sys.modules
try:
    {call}
except TypeError as error:
    assert "import chainrule.overrides" in str(error), error
else:
    raise SystemExit("no error")
assert {call} == 7
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_protocol_stays_off_until_a_subclass_needs_it():
    program = """
import sys
import chainrule as cr
import chainrule.nn, chainrule.func, chainrule.optim
class Scale(cr.nn.Parameter): pass
cr.func.jvp(cr.vmap(cr.func.grad(lambda x: x * x)), (cr.ones(2),), (cr.ones(2),))
assert "chainrule.overrides" not in sys.modules
from chainrule.core.call.asking import asking
assert not asking.on
class Named(cr.Tensor): pass
assert asking.on
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_warnings_still_point_at_the_caller():
    x = cr.ones(2, requires_grad=True) * 2
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        x.grad  # noqa: B018
    assert "not a leaf" in str(caught[0].message)

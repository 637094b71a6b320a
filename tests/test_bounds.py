"""What is kept for the life of the process has a bound: no table grows with the names and functions that users make."""

from __future__ import annotations

import gc
import sys

import pytest

import chainrule as cr
import chainrule.utils.checkpoint
from chainrule.core.graph.nodes import _dressed, dress
from chainrule.transforms.custom.call import named_face

# Caches without a bound, and what bounds them.
BOUNDED_BY = {
    "torch_names": "takes no argument",
    "adapters": "takes no argument",
    "_have_functions_ask": "takes no argument",
    "_of_fields": "named tuples that the package declares",
    "_transform": "names that the rule book writes out",
    "legendre": "numbers of nodes that the rule book writes out",
    "_slopes_at_one": "takes no argument",
    "scipy_function": "names that the rule book writes out",
    "source_of": "kinds of op: Form",
    "make_public": "ops, which the table keeps in any case",
    "compiled": "sources written by the package, one for each kind of op",
    "_parameters": "the package's own functions, which ask",
    "names": "takes no argument",
    "_listed": "PyTorch's modules that the package lists",
    "_made": "PyTorch's names that the package lists",
    "runtime": "takes no argument",
    "offsets": "takes no argument",
    "_stamp": "takes no argument",
    "of_function": "takes no argument",
    "_api": "takes no argument",
    "_functions": "takes no argument",
    "_c": "takes no argument",
    "gemm": "the two dtypes of BLAS",
    "_address": "functions of the C library and of Python that the package's code names",
    "_kind": "dtypes, and the few numbers of lanes of a processor",
    "function": "kernels, for the few dtypes and numbers of lanes of a processor",
}


def owned():
    """Yield (module, name, value) of what modules of the package have."""
    for title, module in list(sys.modules.items()):
        if title.partition(".")[0] == "chainrule" and module is not None:
            yield from [(title, name, value) for name, value in list(vars(module).items())]


def test_caches_have_a_bound_or_a_reason_for_none():
    unbounded = {
        value.__name__
        for _, _, value in owned()
        if hasattr(value, "cache_info") and value.__module__.startswith("chainrule") and value.cache_info().maxsize is None
    }
    assert unbounded <= set(BOUNDED_BY)


def sizes():
    gc.collect()
    kept = {}
    for title, name, value in owned():
        if hasattr(value, "cache_info"):
            info = value.cache_info()
            kept[title, name] = 0 if info.maxsize is not None else info.currsize
        elif isinstance(value, (dict, list, set)) and not name.startswith("__"):
            kept[title, name] = len(value)
    return kept


def use(i):
    """Make what users make under names of their own, and use it."""

    def double(x):
        return x * 2

    double.__name__ = double.__qualname__ = f"double{i}"
    rule = cr.func.custom_vjp(double)
    rule.defvjp(lambda x: (x * 2, None), lambda kept, g: (g * 2,))
    methods = {
        "forward": staticmethod(lambda ctx, x: x * 2),
        "backward": staticmethod(lambda ctx, g: g * 2),
    }
    made = type(f"Double{i}", (cr.autograd.Function,), methods)
    layer = type(f"Layer{i}", (cr.nn.Module,), {"forward": lambda self, x: made.apply(x)})()
    x = cr.ones(2, requires_grad=True)
    handle = x.register_hook(lambda g: None)
    y = rule(layer(x)) + cr.utils.checkpoint.checkpoint(double, x, use_reentrant=False)
    assert y.grad_fn.next_functions
    y.sum().backward()
    handle.remove()
    assert x.grad.tolist() == [6.0, 6.0]
    assert cr.func.grad(lambda x: rule(made.apply(x)).sum())(cr.ones(i % 7 + 1)).tolist() == [4.0] * (i % 7 + 1)


def test_no_table_grows_with_what_users_make():
    for i in range(8):
        use(i)
    before = sizes()
    for i in range(8, 28):
        use(i)
    grown = {place: size - before.get(place, 0) for place, size in sizes().items() if size - before.get(place, 0) >= 10}
    assert not grown


@pytest.mark.parametrize("cache", [named_face, _dressed])
def test_classes_made_by_name_go_again(cache):
    most = cache.cache_info().maxsize
    for i in range(most + 50):
        cache(f"name{i}")
    assert cache.cache_info().currsize == most
    assert cache(f"name{most + 49}") is cache(f"name{most + 49}")


def test_nodes_of_one_op_have_one_class():
    x = cr.ones(2, requires_grad=True)
    a, b = (x * x).grad_fn, (x * 3).grad_fn
    assert type(a) is type(b)
    assert type(a).__name__ == a.name() == "MulBackward0"
    assert dress(a) is a

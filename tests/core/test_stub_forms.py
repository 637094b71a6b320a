"""Every overload that PyTorch's own stubs declare, called with the names that they give its arguments.

For each overload, arguments are looked for that PyTorch takes; chainrule must take them too, by keyword and by position, with
each optional one added, and give what PyTorch gives. What differs stands in a table with its reason.
"""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

import numpy as np
import pytest
from tests.oracle import Raised, outcome

import chainrule as cr

pytestmark = pytest.mark.slow

NUMBER_FIRST = "the name of a number that stands first, where the hot path has the tensor's"
NATIVE = "PyTorch's native form checks less than its functional one, which chainrule's calls"
DENSE = "tensors and gradients are dense"
REASONS = {
    **dict.fromkeys(
        ["bitwise_and", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "pow", "remainder", "xlogy"],
        NUMBER_FIRST,
    ),
    "margin_ranking_loss": NATIVE, "instance_norm": NATIVE,
    "gather": DENSE, "embedding": DENSE, "embedding_bag": DENSE, "to_sparse": DENSE,
    **dict.fromkeys([f"to_sparse_{kind}" for kind in ("bsc", "bsr", "coo", "csc", "csr")], DENSE),
    "chalf": "NumPy has no complex numbers of half precision",
    "storage_type": "storages have no dtype here",
    "nonzero": "a static argument of two forms",
}  # fmt: skip
DRAWS = {
    "rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "empty", "empty_like", "empty_strided",
    "normal", "bernoulli", "poisson", "multinomial", "dropout", "empty_permuted", "binomial", "alpha_dropout", "rrelu",
    "feature_dropout", "new_empty", "new_empty_strided", "uniform", "random", "exponential", "cauchy", "log_normal",
    "geometric", "feature_alpha_dropout", "resize",
}  # fmt: skip
NOT_UNIQUE = {"svd", "eig", "geqrf", "lu", "qr", "new"}  # to signs, or what memory held
SETTINGS = {"set_num_threads", "set_num_interop_threads", "set_flush_denormal", "from_file"}  # of the process
ARRAYS = [
    np.array([[2.0, 0.5, 0.1], [0.5, 3.0, 0.2], [0.1, 0.2, 1.5]]), np.array([0.2, 0.5, 0.9]), np.array([0, 1, 2]),
    np.array([[1, 0, 2], [0, 1, 1], [2, 2, 1]]), np.array([[True, False, True]] * 3), np.arange(12.0).reshape(1, 3, 4) / 10,
    np.arange(24.0).reshape(1, 2, 3, 4) / 20, np.array([1 + 1j, 2.0, 0.5j]), np.array(1.5), np.array(2), np.ones((1, 3, 3)),
]  # fmt: skip
VECTOR, MATRIX, BATCH = np.ones(3), np.ones((3, 3)), np.ones((1, 3, 3))
TENSOR, TENSORS = object(), object()


class Argument:
    """An argument of an overload: what to call it with."""

    def __init__(self, node, default):
        self.name, self.optional = node.arg, default is not None
        annotation = ast.unparse(node.annotation) if node.annotation else ""
        self.values = values(self.name, annotation)
        self.is_tensor = self.values in (TENSOR, TENSORS)


FIXED = {
    "dtype": [lambda L: L.float64], "layout": [lambda L: L.strided], "device": [lambda L: "cpu"],
    "memory_format": [lambda L: L.contiguous_format], "generator": [lambda L: L.Generator()],
}  # fmt: skip
WORDS = ["mean", "constant", "ij", "fro", "floor", "linear", "sum", "left", "L", "lower"]
SIZES = [(0,), (1,), (0, 1), (3,), (3, 3), (1, 1), (0, 0)]


def values(name, annotation):
    """Return what an argument may be, as functions of the library; or that it is a tensor, or several."""
    if name in FIXED:
        return FIXED[name]
    sequence = any(word in annotation for word in ("tuple", "list", "Sequence", "_size"))
    if "Tensor" in annotation and "Number" not in annotation:
        return TENSORS if sequence else TENSOR
    found = (
        [] if name in ("names", "name") else
        [True] if "_bool" in annotation else
        SIZES if (sequence and "_int" in annotation) or "_size" in annotation else
        WORDS if "str" in annotation else
        [1, 0, 2, 3] if "_int" in annotation and "float" not in annotation and "Number" not in annotation else
        [1, 0.5, 2, 0] if any(word in annotation for word in ("Number", "_float", "complex")) else []
    )  # fmt: skip
    return [lambda L, value=value: value for value in found]


def overloads(torch, of_tensor):
    """Return the overloads of functions or methods that the stubs declare: (name, by position or keyword, by keyword alone)."""
    folder = Path(torch.__file__).parent / "_C"
    body = ast.parse((folder / ("__init__.pyi" if of_tensor else "_VariableFunctions.pyi")).read_text()).body
    if of_tensor:
        body = next(node for node in body if isinstance(node, ast.ClassDef) and node.name == "TensorBase").body
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name[0] != "_" and not node.args.vararg:
            places = node.args.posonlyargs + node.args.args
            defaults = [None] * (len(places) - len(node.args.defaults)) + node.args.defaults
            by_place = [Argument(*pair) for pair in zip(places, defaults, strict=True)][of_tensor:]
            named = [Argument(*pair) for pair in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)]
            yield node.name, by_place, named


class Call:
    """A call of an overload, for either library."""

    def __init__(self, name, owner, arguments, choice, by_position=()):
        self.name, self.owner, self.arguments, self.choice, self.by_position = name, owner, arguments, choice, by_position

    def __call__(self, L):
        made = {}
        for argument in self.arguments:
            chosen = self.choice[argument.name]
            made[argument.name] = (
                L.tensor(chosen) if argument.values is TENSOR else
                [L.tensor(chosen), L.tensor(chosen)] if argument.values is TENSORS else
                argument.values[chosen](L)
            )  # fmt: skip
        args = [made.pop(name) for name in self.by_position]
        f = getattr(L, self.name) if self.owner is None else getattr(L.tensor(self.owner), self.name)
        return f(*args, **made)

    def plus(self, argument, chosen):
        return Call(
            self.name, self.owner, [*self.arguments, argument], {**self.choice, argument.name: chosen}, self.by_position
        )

    def placed(self, names):
        return Call(self.name, self.owner, self.arguments, self.choice, names)


def arrays_for(count):
    """Yield arrays for so many tensors."""
    if count == 3:
        yield from ([MATRIX, BATCH, BATCH], [BATCH] * 3, [VECTOR, MATRIX, VECTOR], [MATRIX, VECTOR, VECTOR], [MATRIX] * 3)
    for a in ARRAYS:
        yield [a] * count
    if count > 1:
        for a, b in itertools.product(ARRAYS, ARRAYS):
            yield [a] + [b] * (count - 1)
            yield [a, a] + [b] * (count - 2)
            yield [a, b] + [a] * (count - 2)


def taken(torch, name, of_tensor, arguments, by_position):
    """Return a call with these arguments that PyTorch takes; None if none is found."""
    tensors = [a for a in arguments if a.is_tensor]
    others = [a for a in arguments if not a.is_tensor]
    if not all(a.values for a in others):
        return None
    spaces = [range(min(len(a.values), 4)) if len(others) > 2 else range(len(a.values)) for a in others]
    tries = 0
    for arrays in arrays_for(len(tensors) + of_tensor):
        for numbers in itertools.islice(itertools.product(*spaces), 24):
            tries += 1
            if tries > 1500:
                return None
            choice = dict(zip([a.name for a in others], numbers, strict=True))
            choice |= dict(zip([a.name for a in tensors], arrays[of_tensor:], strict=False))
            call = Call(name, arrays[0] if of_tensor else None, arguments, choice)
            for form in (call, call.placed(by_position)):
                if not isinstance(outcome(torch, form)[0], Raised):
                    return form
    return None


def plain(value):
    """Return a result with arrays for tensors."""
    if hasattr(value, "detach"):
        value = value.float() if "bfloat16" in str(value.dtype) else value
        return value.detach().resolve_conj().resolve_neg().numpy()
    return [plain(v) for v in value] if isinstance(value, (tuple, list)) else value


def differs(torch, call):
    """Return what chainrule makes of a call that PyTorch makes something else of; None where they agree."""
    theirs, warned = outcome(torch, call)
    if isinstance(theirs, Raised):
        return None
    ours, told = outcome(cr, call)
    if isinstance(ours, Raised):
        return ours
    if {kind for kind, text in told if "overload of" not in text} - {kind for kind, _ in warned}:  # which either says once
        return told
    name = call.name.rstrip("_")
    return None if name in NOT_UNIQUE or same(plain(ours), plain(theirs), name in DRAWS) else (ours, theirs)


def same(ours, theirs, is_drawn):
    if isinstance(theirs, list):
        return isinstance(ours, list) and len(ours) == len(theirs) and all(map(same, ours, theirs, [is_drawn] * len(ours)))
    if not isinstance(theirs, np.ndarray):
        return type(ours).__name__ == type(theirs).__name__
    if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
        return False
    return is_drawn or np.allclose(ours, theirs, rtol=1e-5, atol=1e-6, equal_nan=True)


def forms(torch, name, of_tensor, by_place, named):
    """Yield calls of an overload: by keyword, by position, and with each optional argument."""
    required = [a for a in by_place + named if not a.optional and a.name != "out"]
    places = tuple(a.name for a in by_place if not a.optional)
    call = taken(torch, name, of_tensor, required, places)
    if call is None:
        return
    yield call.placed(())
    yield call.placed(places)
    for argument in by_place + named:
        if argument.optional and argument.name != "out":
            for chosen in ARRAYS if argument.is_tensor else range(len(argument.values)):
                more = call.plus(argument, chosen)
                if not isinstance(outcome(torch, more)[0], Raised):
                    yield more
                    break


def found(torch, of_tensor, share):
    """Return the differences of a share of the overloads, and how many calls agree."""
    wrong, right = [], 0
    ours = cr.Tensor if of_tensor else cr
    for name, by_place, named in overloads(torch, of_tensor):
        if sum(map(ord, name)) % 8 != share or name in REASONS or name in SETTINGS or not hasattr(ours, name):
            continue
        for call in forms(torch, name, of_tensor, by_place, named):
            difference = differs(torch, call)
            right += difference is None
            if difference is not None:
                wrong.append((name, [a.name for a in call.arguments], call.by_position, difference))
    return wrong, right


@pytest.mark.parametrize("share", range(8))
@pytest.mark.parametrize("of_tensor", [False, True], ids=["functions", "methods"])
def test_every_overload_is_taken(torch, of_tensor, share):
    wrong, right = found(torch, of_tensor, share)
    assert not wrong
    assert right > 50

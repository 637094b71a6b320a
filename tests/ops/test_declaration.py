"""What every declaration must have: an op samples and a derivative, a public function samples and a docstring."""

from __future__ import annotations

import importlib
import re

from tests.each import by_name

from chainrule.core.op.samples import samples_of
from chainrule.functions.adapt import FUNCTIONS
from chainrule.testing.case import cases, load_modules, load_table

OPS = list(load_table().values())
MODULES = load_modules("chainrule")
SURFACES = [name for name in MODULES if name.split(".")[1] != "core" and "__all__" in vars(importlib.import_module(name))]
FUNCTION_MODULES = [name for name in MODULES if name.startswith("chainrule.functions.")]

# Ops whose parameters are other ops or functions, so that no sample can be written down: tested where they are used.
WITHOUT_SAMPLES = dict.fromkeys(("copy_slices", "retake"), "its parameter is a path of views; core/test_inplace_writes.py")
# Inputs that no sample moves.
RAISES = "the derivative raises, as PyTorch's"
NEVER_MOVED = {
    **{(name, x): RAISES for name in ("floor_divide", "heaviside") for x in "xy"},
    **{(name, "x"): RAISES for name in ("unique", "unique_consecutive")},
    ("counted_of", "x"): RAISES,
    **dict.fromkeys(
        (("geqrf", "x"), ("ldl_factor", "x"), ("ldl_solve", "ld"), ("ldl_solve", "b"), ("rest_of_qr", "q")), RAISES
    ),
    **{(name, "v"): RAISES for name in ("bessel_derivative", "iv", "jv", "kv", "yv")},
    ("expn", "n"): RAISES, ("betainc", "a"): RAISES, ("betainc", "b"): RAISES,
    **{(op.name, "n"): RAISES for op in OPS if op.inputs == ("x", "n")},  # polynomials, in their degree
}  # fmt: skip
# Functions that PyTorch's cannot be compared with.
NOT_COMPARED = {
    "is_conj": "PyTorch's lazy conjugation has no counterpart: always False",
    "is_neg": "nor has its lazy negation",
}


def naturally(name):
    """Sort as ruff does (RUF022): constants, classes, then the rest; log2 before log10."""
    group = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return group, [(int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def test_ops_have_samples():
    assert not [op.name for op in OPS if op.name not in WITHOUT_SAMPLES and all(s.error is not None for s in samples_of(op))]


def test_ops_have_a_derivative_or_are_declared_nondiff():
    assert not [op.name for op in OPS if op.nondiff == (op.is_differentiable or op.jvp is not None)]


def test_every_differentiable_input_moves_in_a_sample():
    moved = {(case.op.name, 0 if case.op.variadic else i) for case in cases(OPS) for i in case.moving}
    rules = [(op, i) for op in OPS for i, rule in enumerate(op.rules) if rule is not None and op.name not in WITHOUT_SAMPLES]
    never = {(op.name, op.inputs[i]) for op, i in rules if (op.name, i) not in moved}
    assert never <= set(NEVER_MOVED)


def test_general_ops_have_both_modes():
    general = [op for op in OPS if op.kind == "op" and not op.nondiff]
    assert not [op.name for op in general if op.jvp is None or not op.is_differentiable]


def test_public_functions_have_samples():
    assert not [
        function.name for function in FUNCTIONS.values() if function.name not in NOT_COMPARED and not function.samples()
    ]


def test_public_functions_have_a_docstring_with_an_example():
    docs = {function.name: function.call.__doc__ or "" for function in FUNCTIONS.values()}
    assert not [name for name, doc in docs.items() if "Examples\n" not in doc or ">>> " not in doc]


@by_name("name", SURFACES, str)
def test_all_is_sorted_and_exists(name):
    module = importlib.import_module(name)
    assert sorted(module.__all__, key=naturally) == list(module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)
    for public in module.__all__:
        assert hasattr(module, public), f"{name}.__all__ names {public}, which it does not have"


@by_name("name", FUNCTION_MODULES, str)
def test_all_is_complete(name):
    module = importlib.import_module(name)
    public = {id(f.call) for f in FUNCTIONS.values()}
    missing = [k for k, v in vars(module).items() if id(v) in public and v.__name__ == k and k not in module.__all__
               and getattr(v, "__module__", name) in (name, "chainrule") and not hasattr(v, "op")]  # fmt: skip
    assert not missing, f"{name}.__all__ lacks {missing}"

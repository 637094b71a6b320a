"""What every declaration must have: an op samples and a derivative, a public function samples and a docstring."""

from __future__ import annotations

import importlib
import re

import pytest

from chainrule.core.op.samples import samples_of
from chainrule.functions.adapt import FUNCTIONS
from chainrule.testing.case import cases, load_modules, load_table

OPS = list(load_table().values())
MODULES = load_modules("chainrule")
SURFACES = [name for name in MODULES if name.split(".")[1] != "core" and hasattr(importlib.import_module(name), "__all__")]
FUNCTION_MODULES = [name for name in MODULES if name.startswith("chainrule.functions.")]

# Ops whose parameters are other ops or functions, so that no sample can be written down: tested where they are used.
WITHOUT_SAMPLES = dict.fromkeys(("copy_slices", "retake"), "its parameter is a path of views; core/test_inplace_writes.py")
# Inputs that no sample moves.
RAISES = "the derivative raises, as PyTorch's"
NEVER_MOVED = {
    **{(name, x): RAISES for name in ("floor_divide", "heaviside") for x in "xy"},
    **{(name, "x"): RAISES for name in ("unique", "unique_consecutive")},
    ("counted_of", "x"): RAISES,
    ("igamma", "a"): RAISES,
    ("igammac", "a"): RAISES,
}
# Functions that PyTorch's cannot be compared with.
NOT_COMPARED = {
    "is_conj": "PyTorch's lazy conjugation has no counterpart: always False",
    "is_neg": "nor has its lazy negation",
}


def naturally(name):
    """Sort as ruff does (RUF022): constants, classes, then the rest; log2 before log10."""
    group = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return group, [(int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_op_has_samples(op):
    assert op.name in WITHOUT_SAMPLES or [s for s in samples_of(op) if s.error is None], f"{op.name} has no samples"


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_op_has_a_derivative_or_is_declared_nondiff(op):
    assert op.nondiff != (op.is_differentiable or op.jvp is not None), f"{op.name}: give rules, or nondiff=True"


@pytest.mark.parametrize("op", [op for op in OPS if op.is_differentiable], ids=lambda op: op.name)
def test_every_differentiable_input_moves_in_a_sample(op):
    moved = {0 if op.variadic else i for case in cases([op]) for i in case.moving}
    for i, rule in enumerate(op.rules):
        named = (op.name, op.inputs[i])
        assert rule is None or i in moved or op.name in WITHOUT_SAMPLES or named in NEVER_MOVED, f"no sample moves {named}"


@pytest.mark.parametrize("op", [op for op in OPS if op.kind == "op" and not op.nondiff], ids=lambda op: op.name)
def test_general_op_has_both_modes(op):
    assert op.jvp is not None, f"{op.name} has no jvp"
    assert op.is_differentiable, f"{op.name} has no vjp in any input"


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=lambda f: f.name)
def test_public_function_has_samples(function):
    assert function.name in NOT_COMPARED or function.samples(), f"{function.name} has no samples"


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=lambda f: f.name)
def test_public_function_has_a_docstring_with_an_example(function):
    doc = function.call.__doc__ or ""
    assert "Examples\n" in doc, f"{function.name}: its docstring has no Examples section"
    assert ">>> " in doc


@pytest.mark.parametrize("name", SURFACES)
def test_all_is_sorted_and_exists(name):
    module = importlib.import_module(name)
    assert sorted(module.__all__, key=naturally) == list(module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)
    for public in module.__all__:
        assert hasattr(module, public), f"{name}.__all__ names {public}, which it does not have"


@pytest.mark.parametrize("name", FUNCTION_MODULES)
def test_all_is_complete(name):
    module = importlib.import_module(name)
    public = {id(f.call) for f in FUNCTIONS.values()}
    missing = [k for k, v in vars(module).items() if id(v) in public and v.__name__ == k and k not in module.__all__
               and getattr(v, "__module__", name) in (name, "chainrule")]  # fmt: skip
    assert not missing, f"{name}.__all__ lacks {missing}"

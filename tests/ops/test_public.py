"""An elementwise op becomes public by an option of its declaration, in one file."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.op.declaration import TABLE
from chainrule.functions.adapt import FUNCTIONS
from chainrule.library import elementwise, linear

ROOT = Path(__file__).parents[2]
NAMES = ("toy_rise", "toy_lift")


@pytest.fixture
def rise():
    yield elementwise("toy_rise(x)", lambda x: x / np.sqrt(1 + x * x), dtype="float", public=True, inplace=True,
        aliases=("toy_lift",), x=lambda g, x: g * (1 + x * x) ** -1.5, doc="Return x / sqrt(1 + x * x).")  # fmt: skip
    del TABLE["toy_rise"]
    for name in NAMES:
        del FUNCTIONS[name]
        delattr(cr.Tensor, name)
        delattr(cr.Tensor, name + "_")


def test_functions_methods_and_in_place_methods_follow(rise):
    x = cr.tensor([0.75, 0.0])
    for name in NAMES:
        call = FUNCTIONS[name].call
        assert call.__name__ == name
        assert call.__doc__ == "Return x / sqrt(1 + x * x)."
        assert call(x).tolist() == getattr(x, name)().tolist() == pytest.approx([0.6, 0])
        assert call(cr.tensor([1, 2])).dtype is cr.float32
        out = cr.empty(2)
        assert call(x, out=out) is out
    y = x.clone()
    assert y.toy_rise_() is y
    assert y.tolist() == pytest.approx([0.6, 0])


def test_functions_pickle_as_the_names_that_they_are_public_by():
    elementwise_ones = {name: function.call for name, function in FUNCTIONS.items() if hasattr(function.call, "op")}
    assert len(elementwise_ones) > 100
    for name, call in elementwise_ones.items():
        assert pickle.loads(pickle.dumps(call)) is call, name


def test_a_name_is_public_once(rise):
    with pytest.raises(TypeError, match="the public function toy_lift is declared twice"):
        elementwise("toy_other(x)", np.sin, public=True, aliases=("toy_lift",), nondiff=True)
    del TABLE["toy_other"], FUNCTIONS["toy_other"]
    del cr.Tensor.toy_other


def test_other_ops_are_not_public_by_an_option():
    with pytest.raises(TypeError, match="only elementwise ops are public by an option"):
        linear("toy_twice(x)", lambda x: 2 * x, x=lambda g: 2 * g, public=True)


DECLARATION = """

rise = elementwise("rise(x)", lambda x: x / np.sqrt(1 + x * x), dtype="float", public=True, inplace=True, aliases=("lift",),
    lower=lambda x: x / s.sqrt(1 + x * x),
    x=lambda g, x: g * (1 + x * x) ** -1.5,
    doc=unary("Return x / sqrt(1 + x * x) of each element x.", "cr.rise(cr.tensor(0.75))", "tensor(0.6000)"))
"""
USE = """
import chainrule as cr
from chainrule.testing import check_op
from chainrule.ops.pointwise import trigonometric
assert check_op(trigonometric.rise)
x = cr.tensor(0.75, requires_grad=True)
y = cr.rise(x)
y.backward()
assert abs(y.item() - 0.6) < 1e-6 and abs(x.grad.item() - 0.512) < 1e-6, x.grad
assert cr.tensor([0.75]).lift_().tolist() == cr.lift(cr.tensor([0.75])).tolist() == x[None].rise().tolist()
assert "rise" in dir(cr) and ">>> cr.rise" in cr.rise.__doc__
assert cr.func.trace(cr.rise)(cr.func.ShapeDtype((2, 3))).outputs[0].shape == (2, 3)
"""


def files(root):
    return {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.suffix in (".py", ".pyi")}


@pytest.mark.slow
def test_a_new_op_is_one_file_and_generated_ones(tmp_path):
    for name in ("src", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    before = files(tmp_path)
    declared = tmp_path / "src" / "chainrule" / "ops" / "pointwise" / "trigonometric.py"
    declared.write_text(declared.read_text() + DECLARATION)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    for command in ([str(tmp_path / "scripts" / "write_stubs.py")], ["-c", USE]):
        subprocess.run([sys.executable, *command], check=True, env=environment, cwd=tmp_path)
    changed = {path for path, content in files(tmp_path).items() if before.get(path) != content}
    assert declared.relative_to(tmp_path) in changed
    assert all(path.suffix == ".pyi" for path in changed - {declared.relative_to(tmp_path)})
    assert "def rise_(" in (tmp_path / "src" / "chainrule" / "core" / "tensor" / "methods.pyi").read_text()

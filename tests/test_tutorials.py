"""Scripts of the kind found in PyTorch's tutorials, run under both libraries with only the import changed.

What they print must agree: the words exactly, the numbers to rounding. Random numbers come from NumPy in both, since the two
libraries' generators differ.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
import types
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from tests.oracle import words

FOLDER = Path(__file__).parent / "programs"
LONG = {"gradient_penalty", "jacobians_hessians", "maml", "neural_tangent_kernel", "physics_informed", "polynomials"}
SCRIPTS = [
    pytest.param(path.stem, marks=[pytest.mark.slow] if path.stem in LONG else []) for path in sorted(FOLDER.glob("*.py"))
]
NUMBER = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?")


def seeded(lib, monkeypatch):
    """Have a library draw its random numbers from NumPy, the parameters of its linear layers included."""
    rng = np.random.default_rng(0)
    double = lambda kwargs: np.float64 if kwargs.get("dtype") is lib.float64 else np.float32

    def drawing(draw):
        def drawn(*shape, requires_grad=False, **kwargs):
            shape = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
            made = lib.tensor(np.asarray(draw(tuple(shape)), double(kwargs)))
            return made.requires_grad_(requires_grad)

        return drawn

    def whole(low, high, shape=None):
        low, high, shape = (0, low, high) if shape is None else (low, high, shape)
        return lib.tensor(rng.integers(low, high, tuple(shape)))

    def reset(self):
        bound = self.in_features**-0.5
        with lib.no_grad():
            for p in (self.weight, self.bias):
                p.copy_(lib.tensor(rng.uniform(-bound, bound, tuple(p.shape)).astype(np.float32)))

    monkeypatch.setattr(lib, "randn", drawing(lambda shape: rng.normal(size=shape)))
    monkeypatch.setattr(lib, "rand", drawing(lambda shape: rng.uniform(size=shape)))
    monkeypatch.setattr(lib, "rand_like", lambda t: lib.rand(*t.shape))
    monkeypatch.setattr(lib, "randint", whole)
    monkeypatch.setattr(lib.nn.Linear, "reset_parameters", reset)


def printed(lib, script, monkeypatch):
    """Return what a script prints under a library."""
    import_module(f"{lib.__name__}.func")
    import_module(f"{lib.__name__}.utils.checkpoint")
    text = (FOLDER / f"{script}.py").read_text()
    text = re.sub(r"^import torch$", f"import {lib.__name__} as torch", text, flags=re.MULTILINE)
    text = re.sub(r"^(from|import) torch\b", rf"\1 {lib.__name__}", text, flags=re.MULTILINE)
    out = io.StringIO()
    module = types.ModuleType(script)
    with monkeypatch.context() as patch, contextlib.redirect_stdout(out), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seeded(lib, patch)
        patch.setitem(sys.modules, script, module)
        exec(compile(text, f"{script}.py under {lib.__name__}", "exec"), module.__dict__)
    return out.getvalue()


def parts(text):
    """Return a text's words, one line of output after the other, and its numbers."""
    text = re.sub(r"\s+", " ", words(text))
    return NUMBER.sub("#", text).replace(" ", ""), [float(n) for n in NUMBER.findall(text)]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_prints_what_it_prints_under_pytorch(torch, script, monkeypatch):
    import chainrule as cr

    theirs, ours = printed(torch, script, monkeypatch), printed(cr, script, monkeypatch)
    for a, b in zip(ours.splitlines(), theirs.splitlines(), strict=False):
        (words_a, numbers_a), (words_b, numbers_b) = parts(a), parts(b)
        message = f"chainrule prints\n{a}\nPyTorch prints\n{b}"
        assert words_a == words_b, message
        assert len(numbers_a) == len(numbers_b), message
        np.testing.assert_allclose(numbers_a, numbers_b, rtol=2e-3, atol=2e-4, err_msg=message)
    assert len(ours.splitlines()) == len(theirs.splitlines()), f"chainrule prints\n{ours}\nPyTorch prints\n{theirs}"

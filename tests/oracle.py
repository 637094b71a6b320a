"""One program under two libraries: what each gave, and whether they agree. The oracle is PyTorch."""

from __future__ import annotations

import re
import warnings

import numpy as np

import chainrule as cr


class Raised:
    """An error, as its type and text."""

    def __init__(self, error: Exception):
        self.error, self.kind, self.text = error, type(error), str(error)

    def __repr__(self):
        return f"{self.kind.__name__}: {self.text}"


def outcome(lib, program, *args):
    """Return what `program(lib, *args)` returns, prints of warnings' kinds apart: (result or Raised, warnings)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = program(lib, *args)
        except Exception as error:
            result = Raised(error)
    return result, [(w.category, str(w.message)) for w in caught]


def words(text):
    """Return a text without what differs by the library's name alone."""
    text = text.replace("torch.", "chainrule.").replace("chainrule.core.tensor.tensor.Tensor", "chainrule.Tensor")
    return re.sub(r"0x[0-9a-f]+", "0x", text)


def agree(ours, theirs, *, rtol=1e-9, where="", full_text=True):
    """Raise AssertionError where two outcomes differ: structure, types, dtypes, shapes, values, `requires_grad`, errors."""
    if isinstance(theirs, Raised) or isinstance(ours, Raised):
        assert isinstance(theirs, Raised), f"{where}chainrule raises {ours!r}, PyTorch gives {theirs!r}"
        assert isinstance(ours, Raised), f"{where}PyTorch raises {theirs!r}, chainrule gives {ours!r}"
        assert ours.kind.__name__ == theirs.kind.__name__, f"{where}{ours!r}, PyTorch: {theirs!r}"
        if full_text:
            assert words(ours.text) == words(theirs.text), f"{where}{ours.text!r}, PyTorch: {theirs.text!r}"
        return
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), f"{where}keys {list(ours)}, PyTorch: {list(theirs)}"
        for k in theirs:
            agree(ours[k], theirs[k], rtol=rtol, where=f"{where}[{k!r}]")
    elif isinstance(theirs, (tuple, list)):
        assert isinstance(ours, (tuple, list)), f"{where}{ours!r}, PyTorch: {theirs!r}"
        assert isinstance(ours, tuple) == isinstance(theirs, tuple), f"{where}{type(ours)}, PyTorch: {type(theirs)}"
        assert len(ours) == len(theirs), f"{where}{len(ours)} elements, PyTorch: {len(theirs)}"
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            agree(a, b, rtol=rtol, where=f"{where}[{i}]", full_text=full_text)
    elif hasattr(theirs, "requires_grad"):
        assert isinstance(ours, cr.Tensor), f"{where}{ours!r}, PyTorch: {theirs!r}"
        assert ours.requires_grad == theirs.requires_grad, f"{where}requires_grad {ours.requires_grad} of {ours}"
        a, b = ours.detach().numpy(), theirs.detach().resolve_conj().numpy()
        assert (a.shape, a.dtype) == (b.shape, b.dtype), f"{where}{a.dtype} {a.shape}, PyTorch: {b.dtype} {b.shape}"
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol, err_msg=where)
    elif isinstance(theirs, (float, complex, np.ndarray)):
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol, err_msg=where)
    else:
        assert ours == theirs, f"{where}{ours!r}, PyTorch: {theirs!r}"

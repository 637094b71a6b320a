"""Chapters of functions that are read late: what is said of them is what they have, and using one reads it."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

import chainrule as cr
from chainrule.functions import late


def fresh(code):
    """Return what a program prints in an interpreter that has read nothing yet."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, chainrule as cr\n{code}"], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize("chapter", late.CHAPTERS)
def test_functions_of_a_chapter_are_those_it_exports(chapter):
    module = import_module(f"chainrule.functions.{chapter}")
    names = getattr(module, "__all__", [])
    assert sorted(late.CHAPTERS[chapter][0].split()) == sorted(names)
    assert all(getattr(cr, name) is getattr(module, name) for name in names)


@pytest.mark.parametrize("module", late.ABOVE)
def test_functions_of_modules_above_are_theirs(module):
    home = import_module(f"chainrule.{module}")
    assert all(getattr(cr, name) is getattr(home, name) for name in late.ABOVE[module].split())


def test_methods_of_chapters_are_those_they_attach():
    code = (
        "from chainrule.functions import late\n"
        "before = set(vars(cr.Tensor)); late.load(); found = vars(cr.Tensor)\n"
        "print(*(set(found) - before), *[n for n, v in found.items() if isinstance(v, late.LateMethod)])"
    )
    assert fresh(code) == []


@pytest.mark.slow
def test_chapters_are_read_when_a_name_of_theirs_is_used():
    read = "print('chainrule.functions.reduction.difference' in sys.modules)"
    assert fresh(f"{read}; cr.diff; {read}") == ["False", "True"]
    assert fresh(f"{read}; x = cr.tensor([1, 3]).diff(); {read}; print(x.item())") == ["False", "True", "2"]
    assert fresh(f"from chainrule import diff; {read}") == ["True"]
    assert fresh(f"import chainrule.overrides; {read}") == ["True"]


def test_methods_read_late_are_those_of_the_class_that_asks():
    code = (
        "class Noted(cr.Tensor):\n"
        "    def diff(self):\n"
        "        return super().diff()\n"
        "print(cr.tensor([1, 3]).as_subclass(Noted).diff().item(), cr.Tensor.diff.__name__)"
    )
    assert fresh(code) == ["2", "diff"]


def test_names_read_late_are_found_once():
    assert fresh("print('diff' in vars(cr)); cr.diff; print('diff' in vars(cr))") == ["False", "True"]


@pytest.mark.slow
def test_all_names_are_had_by_a_star():
    assert fresh("from chainrule import *; print(diff is cr.diff, sort is cr.sort, sin is cr.sin, 'nn' in globals())") == [
        "True", "True", "True", "False",
    ]  # fmt: skip


def test_names_read_late_are_shown():
    assert fresh("print('diff' in dir(cr), 'diff' in dir(cr.Tensor), hasattr(cr.Tensor, 'diff'))") == ["True"] * 3


def test_a_name_that_a_chapter_lacks_says_so(monkeypatch):
    monkeypatch.setattr(cr.Tensor, "nowhere", late.LateMethod("reduction.difference", "nowhere"), raising=False)
    with pytest.raises(AttributeError, match="attaches no method 'nowhere', though functions.late says so"):
        _ = cr.ones(1).nowhere

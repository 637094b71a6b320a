"""The examples in the docstrings of public functions run: pytest finds those of modules, this those of derived functions."""

from __future__ import annotations

import doctest

from tests.each import by_name

import chainrule as cr
from chainrule.functions.adapt import FUNCTIONS
from chainrule.testing.case import load_modules

load_modules("chainrule")  # some declare their functions only when they are used

DERIVED = [name for name, function in sorted(FUNCTIONS.items()) if hasattr(function.call, "op")]


@by_name("name", DERIVED, str)
def test_examples_of_derived_functions_run(name):
    examples = doctest.DocTestParser().get_doctest(FUNCTIONS[name].call.__doc__ or "", {"cr": cr}, name, None, 0)
    assert examples.examples, f"{name} has no example"
    failed, _ = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS).run(examples)
    assert failed == 0

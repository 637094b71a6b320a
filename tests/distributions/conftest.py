"""What all tests of distributions share: PyTorch checks arguments in them, as it does unless told not to."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(autouse=True)
def arguments_are_checked():
    """Have PyTorch check them: its compiler, which tests of attention import, turns that off for good."""
    theirs = sys.modules.get("torch.distributions")
    if theirs is not None:
        theirs.Distribution.set_default_validate_args(True)

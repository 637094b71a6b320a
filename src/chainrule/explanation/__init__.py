"""Gradients that explain themselves: why an entry is NaN, infinite, zero or None."""

from chainrule.explanation.entry import explain
from chainrule.transforms.finding import Explanation

__all__ = ["Explanation", "explain"]

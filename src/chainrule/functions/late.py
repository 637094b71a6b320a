"""Chapters of functions that few programs need: each is read when one of its names is first asked for.

A chapter costs `import chainrule` 0.2 to 0.8 ms when it is read, and 1 µs a name here. Its functions are had as
``chainrule.name``, whose module asks this one; its methods stand on `Tensor` as :class:`LateMethod`, which puts the real ones
in their places. A test holds what is said here to what the chapters declare.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from chainrule.core.tensor.tensor import Tensor

# Of each chapter: its functions, and the methods that it attaches.
CHAPTERS: dict[str, tuple[str, str]] = {
    "comparison.histogram": ("histogram histogramdd", "histogram"),
    "comparison.search": (
        "bincount bucketize histc isin searchsorted unique unique_consecutive",
        "bincount histc unique unique_consecutive",
    ),
    "creation.memory": ("from_file frombuffer", ""),
    "indexing.overwrite": (
        "as_strided_scatter diagonal_scatter select_scatter slice_scatter",
        "as_strided_scatter diagonal_scatter select_scatter slice_scatter",
    ),
    "pointwise.incomplete": ("igamma igammac", "igamma igamma_ igammac igammac_"),
    "reduction.difference": ("cumulative_trapezoid diff gradient trapezoid trapz", "diff"),
    "reduction.quantile": ("nanquantile quantile", "nanquantile quantile"),
    "spectral.short_time": ("istft stft", "istft stft"),
}
FUNCTIONS = {name: f"chainrule.functions.{chapter}" for chapter, (names, _) in CHAPTERS.items() for name in names.split()}


class LateMethod:
    """A method of a chapter that has not been read yet: asked for, it reads the chapter, which sets the method itself."""

    __slots__ = ("chapter", "name")

    def __init__(self, chapter: str, name: str):
        self.chapter, self.name = f"chainrule.functions.{chapter}", name

    def __get__(self, instance: Any, owner: type) -> Any:
        import_module(self.chapter)
        method = vars(Tensor)[self.name]
        if method is self:
            raise AttributeError(f"{self.chapter} attaches no method {self.name!r}, though functions.late says so")
        return method.__get__(instance, owner)


for _chapter, (_, _methods) in CHAPTERS.items():
    for _name in _methods.split():
        setattr(Tensor, _name, LateMethod(_chapter, _name))


def load() -> None:
    """Read all chapters: what looks at every function needs them."""
    for chapter in CHAPTERS:
        import_module(f"chainrule.functions.{chapter}")

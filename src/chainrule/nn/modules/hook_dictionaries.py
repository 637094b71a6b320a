"""Dictionaries of hooks, id → hook, that a module has under PyTorch's names, since programs read and edit them.

Most modules have no hook, so that each dictionary is made when it is first asked for: eleven of them would cost a module six
times its own making, and looking at four a call twice its own time. A module that was asked for one is marked.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any


class HookDictionary:
    """An attribute that is an ordered dictionary, made when it is first asked for.

    Parameters
    ----------
    called : bool
        Whether its hooks belong to calls, so that a module that has it is to be marked as `_hooked`.
    """

    __slots__ = ("called", "name")

    def __init__(self, called: bool = True):
        self.called = called

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, module: Any, owner: type) -> Any:
        if module is None:
            return self
        found = module.__dict__.get(self.name)
        if found is None:
            found = OrderedDict()
            self.__set__(module, found)
        return found

    def __set__(self, module: Any, hooks: Any) -> None:
        module.__dict__[self.name] = hooks
        if self.called:
            module.__dict__["_hooked"] = True

    def __delete__(self, module: Any) -> None:
        del module.__dict__[self.name]

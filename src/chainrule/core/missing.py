"""What a module says of a name that it does not have: the name that was meant, or that PyTorch has it and chainrule does not.

PyTorch's names are in a file beside this one, which ``scripts/write_torch_names.py`` writes; it is read at the first miss.
"""

from __future__ import annotations

import functools
import os
import sys
from importlib import import_module
from typing import Any


@functools.cache
def torch_names() -> dict[str, frozenset[str]]:
    """Return PyTorch's public names by module, ``""`` for the package itself."""
    place = os.path.join(os.path.dirname(__file__), "torch_names.txt")  # by pathlib it would take 3 ms of every import
    with open(place, encoding="utf-8") as file:
        lines = file.read().splitlines()
    return {module: frozenset(names.split()) for module, _, names in (line.partition(":") for line in lines)}


def missing(module: str, name: str) -> AttributeError:
    """Return the error for a name that a module lacks.

    Examples
    --------
    >>> str(missing("chainrule.nn", "Lineear"))
    "module 'chainrule.nn' has no attribute 'Lineear'. Did you mean: 'Linear'?"
    >>> str(missing("chainrule.nn", "LinearCrossEntropyOptions"))[68:]
    'PyTorch has it, chainrule not yet; dir(chainrule.nn) lists what there is'
    """
    text = f"module {module!r} has no attribute {name!r}"
    if name[:1] == "_":  # what Python and its tools look for
        return AttributeError(text)
    theirs = torch_names().get(module.partition(".")[2], frozenset())
    if name in theirs:
        return AttributeError(f"{text}: PyTorch has it, chainrule not yet; dir({module}) lists what there is")
    from difflib import get_close_matches  # of 8 ms to import, and of use here alone

    ours = [n for n in dir(sys.modules[module]) if n[0] != "_"]
    close = get_close_matches(name, ours, 1, 0.7)
    if close:
        return AttributeError(f"{text}. Did you mean: {close[0]!r}?")
    close = get_close_matches(name, theirs, 1, 0.7)
    if close:
        return AttributeError(f"{text}; PyTorch's {close[0]!r} is not in chainrule yet: dir({module}) lists what there is")
    return AttributeError(f"{text}, and neither has PyTorch's; dir({module}) lists what there is")


def tell_of_missing(module: str, late: dict[str, str] | None = None) -> None:
    """Have a module tell of names that it lacks. Set, and not declared, so that type checkers still flag such names.

    Parameters
    ----------
    module : str
        Its name.
    late : dict, optional
        Names that it has from other modules, which are read when one is first asked for: name → module, which may be a
        submodule of that name itself.
    """
    here, late = sys.modules[module], late or {}

    def look_up(name: str) -> Any:
        if name in late:
            source = import_module(late[name])
            found = source if late[name] == f"{module}.{name}" else getattr(source, name)
            setattr(here, name, found)
            return found
        if name == "__all__" and late:  # what a star takes
            return [public for public in here.__dir__() if public[0] != "_" and public != "annotations"]
        raise missing(module, name)

    here.__getattr__ = look_up  # type: ignore[method-assign]
    if late:
        here.__dir__ = lambda: sorted({*vars(here), *late})  # type: ignore[method-assign]

"""What plans share: the runner of tables (``executor``), matrix products, and the entry by which Python calls a plan."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from chainrule.compiler.llvm import compare, engine, entry, executor


class Runtime(executor.Runner):
    """The native functions that all plans share.

    Attributes
    ----------
    gemm : int
        Address of the function of matrix products.
    call, same : int
        Addresses of the entry that Python calls (``entry``) and of the comparison (``compare``); 0 where objects are not as
        these expect.
    """

    def __init__(self) -> None:
        code = _loaded([("cr_call", entry.text()), ("cr_same", compare.text())])
        super().__init__(code)
        self.gemm = code.address("cr_gemm")
        self.call, self.same = [code.address(name) if name in code.names else 0 for name in ("cr_call", "cr_same")]


def _loaded(entries: Sequence[tuple[str, str | None]]) -> engine.Code:
    known = {name: text for name, text in entries if text is not None}
    if known:
        try:
            return engine.load(executor.text() + "".join(known.values()), [*executor.NAMES, *known], optimise=False)
        except RuntimeError:  # an interpreter that does not export its functions
            pass
    return engine.load(executor.text(), executor.NAMES, optimise=False)


@cache
def runtime() -> Runtime:
    """Return the runtime, made at first need."""
    made = Runtime()
    executor.serve(made)
    return made

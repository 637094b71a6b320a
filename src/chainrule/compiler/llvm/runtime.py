"""What plans share: the runner of tables (``executor``), matrix products, and the entry by which Python calls a plan."""

from __future__ import annotations

from functools import cache

from chainrule.compiler.llvm import engine, entry, executor


class Runtime(executor.Runner):
    """The native functions that all plans share.

    Attributes
    ----------
    gemm : int
        Address of the function of matrix products.
    call : int
        Address of the entry that Python calls (``entry``); 0 where objects are not as that expects.
    """

    def __init__(self) -> None:
        code = _loaded(entry.text())
        super().__init__(code)
        self.gemm = code.address("cr_gemm")
        self.call = code.address("cr_call") if "cr_call" in code.names else 0


def _loaded(call: str | None) -> engine.Code:
    if call is not None:
        try:
            return engine.load(executor.text() + call, [*executor.NAMES, "cr_call"], optimise=False)
        except RuntimeError:  # an interpreter that does not export its functions
            pass
    return engine.load(executor.text(), executor.NAMES, optimise=False)


@cache
def runtime() -> Runtime:
    """Return the runtime, made at first need."""
    made = Runtime()
    executor.serve(made)
    return made

"""Faults for the compiler, to be seen by tests."""

from __future__ import annotations

from chainrule.compiler import planning
from chainrule.compiler.llvm import functions, math
from chainrule.compiler.loops import fusion
from chainrule.compiler.loops.steps import GuardStep
from chainrule.core.op.declaration import TABLE


def always_holding(monkeypatch):
    """Let every guard hold: native code compares no bytes."""
    monkeypatch.setattr(fusion, "GuardStep", lambda view, outcome, number: GuardStep(view, b"", number))


def wrong_pass(monkeypatch):
    """Let a pass put cosines in the place of sines."""
    honest = planning.simplified

    def simplified(graph, *how):
        simple = honest(graph, *how)
        for e in simple.equations:
            if e.op.name == "sin":
                e.op = TABLE["cos"]
        return simple

    monkeypatch.setattr(planning, "simplified", simplified)


def wrong_kernel(monkeypatch):
    """Let the vector kernel of the sine be that of the cosine."""
    monkeypatch.setattr(functions, "_kernel", lambda name, *of: math.function({"sin": "cos"}.get(name, name), *of))

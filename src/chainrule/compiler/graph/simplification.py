"""All passes that keep a graph a graph of ops, in one walk."""

from __future__ import annotations

from chainrule.compiler.graph import algebra, constants, expansion, movement
from chainrule.compiler.graph.accumulation import accumulated
from chainrule.compiler.graph.batching import batched
from chainrule.compiler.graph.rewriting import Rewriting, Rules
from chainrule.transforms.equations import Graph


def _together(*tables: Rules) -> Rules:
    names = dict.fromkeys([name for table in tables for name in table])
    return {name: tuple([rule for table in tables for rule in table.get(name, ())]) for name in names}


_RULES = _together(expansion.RULES, constants.RULES, algebra.RULES, movement.RULES)
_KEPT = _together(constants.RULES, algebra.RULES, movement.RULES)


def simplified(graph: Graph, expand: bool = True) -> Graph:
    """Return a graph with the same values that is cheaper to compute.

    Parameters
    ----------
    graph : Graph
    expand : bool
        For loops that are fused: put compositions such as softmax in terms of what they are made of, and matrix products
        together; where each op runs its own kernel, the kernel of the whole is faster.

    Notes
    -----
    Every rule of constant folding, algebra, movement and expansion runs in one walk, with common subexpressions found on the
    way; what nothing needs any more is left out. Rules look only at what made their operands, which is simple by then, so that
    one walk does nearly all of what walks without end would.
    """
    if not expand:
        return Rewriting(graph, _KEPT, share=True).run()
    return batched(accumulated(Rewriting(graph, _RULES, share=True).run()))

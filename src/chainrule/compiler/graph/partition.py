"""Partition: a graph of a function and its gradients as two graphs, and what the first keeps for the second.

What is kept is chosen to move the least memory: cheap elementwise work and views are computed again from what is kept, results
of matrix products, reductions, opaque kernels and random draws are not. The choice is a minimal cut in a network of the values
that both passes could use, with a capacity for each of what it costs to keep it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, NamedTuple

from chainrule.compiler.graph.cut import nearest_cut
from chainrule.compiler.graph.rebuilding import rebuilt
from chainrule.core.op.declaration import ELEMENTWISE
from chainrule.core.op.lowering import Expression
from chainrule.transforms.equations import Equation, Graph, Variable

FEW_BYTES = 1 << 14  # which a processor's nearest memory holds: what is needed is kept as it is
FEW_ELEMENTS = 16  # which are computed again in less time than a value takes that is kept, as a tensor of its own (0.3 us)
_CHAIN = 16  # elementwise ops after one another that are computed again; a recurrence would be run twice
_MOVES = frozenset(("broadcast_to", "to", "clone", "contiguous", "reshape"))


class Partition(NamedTuple):
    """A graph in two.

    Attributes
    ----------
    forward : Graph
        Of the inputs that are not cotangents; its outputs are the first outputs of the whole, and then those of `kept` that are
        neither these nor inputs.
    backward : Graph
        Of `kept` and the cotangents; its outputs are the rest.
    kept : tuple of Variable
    """

    forward: Graph
    backward: Graph
    kept: tuple[Variable, ...]


def partitioned(graph: Graph, outputs: int, cotangents: Sequence[Variable], few: int = FEW_BYTES) -> Partition:
    """Return the forward pass, the backward pass, and what the first keeps for the second.

    Parameters
    ----------
    graph : Graph
    outputs : int
        How many of the graph's outputs are the function's own; the others are its gradients.
    cotangents : sequence of Variable
        Inputs of the graph, on which the function's own outputs do not depend.
    few : int
        Where what the backward pass needs has no more bytes than this, all of it is kept, or fewer values that it is made of;
        of views of what is there in any case, such as an input, only that.

    Raises
    ------
    ValueError
        If one of the function's own outputs depends on a cotangent.

    Notes
    -----
    An equation that is not pure runs once, in the pass in which its operands are known first, in the order in which they were.
    What only the gradients need is computed in the backward pass, unless its result is smaller than what it is made of.
    """
    joint = _Joint(graph, outputs, cotangents)
    is_small = sum(map(_bytes, joint.needed)) <= few
    chosen = {joint.shown_by(v) for v in _fewest(joint)} if is_small else set(_cut(joint))
    kept = [v for v in joint.order if v in chosen]
    inputs, own = [v for v in graph.inputs if v not in cotangents], graph.outputs[:outputs]
    forward = rebuilt(
        graph,
        [e for e in graph.equations if e not in joint.late],
        (*own, *[v for v in kept if v in joint.made and v not in own]),
        inputs=inputs,
    )
    return Partition(forward, _backward(joint, kept, cotangents), tuple(kept))


class _Joint:
    """What is known of the whole.

    Attributes
    ----------
    late : set of Equation
        Those that depend on a cotangent.
    early : set of Equation
        Those that the forward pass runs in any case.
    needed : list of Variable
        The values that do not depend on cotangents, constants apart, and are used by what does.
    order : list of Variable
        All values that do not depend on cotangents, in the order in which they are made.
    made : dict of Variable to Equation
    """

    def __init__(self, graph: Graph, outputs: int, cotangents: Sequence[Variable]):
        self.graph, self.outputs, self.constants = graph, graph.outputs[:outputs], set(graph.constants)
        self.gradients = graph.outputs[outputs:]
        depends = set(cotangents)
        self.late: set[Equation] = set()
        self.made: dict[Variable, Equation] = {}
        self.order = [v for v in graph.inputs if v not in depends]
        needed: dict[Any, None] = {}
        for e in graph.equations:
            self.made.update(dict.fromkeys(e.results, e))
            if depends.isdisjoint([o for o in e.operands if o.__class__ is Variable]):
                self.order += e.results
            else:
                depends.update(e.results)
                self.late.add(e)
                needed.update(dict.fromkeys([o for o in e.operands if o.__class__ is Variable and o not in depends]))
        needed.update(dict.fromkeys([o for o in self.gradients if o.__class__ is Variable and o not in depends]))
        self.needed: list[Variable] = [v for v in needed if v not in self.constants]
        if not depends.isdisjoint([o for o in self.outputs if o.__class__ is Variable]):
            raise ValueError("an output of the function depends on a cotangent")
        self.early = self._run_by(self.outputs)

    def shown_by(self, v: Variable) -> Variable:
        """Return the input, or the output of the function, that a value is a view of; the value itself if it is of neither."""
        root = v
        while (e := self.made.get(root)) is not None and e.op.view and root not in self.outputs:
            root = e.operands[0]
        return root if root in self.outputs or (root not in self.made and root not in self.constants) else v

    def _run_by(self, outputs: Iterable[Any]) -> set[Equation]:
        """Return the equations that do not depend on cotangents and that some outputs ask for, or that are due in any case."""
        used = set(outputs)
        found: set[Equation] = set()
        for e in reversed(self.graph.equations):
            if e not in self.late and (e.is_due or not used.isdisjoint(e.results)):
                found.add(e)
                used.update([o for o in e.operands if o.__class__ is Variable])
        return found


def _backward(joint: _Joint, kept: Sequence[Variable], cotangents: Sequence[Variable]) -> Graph:
    """Return the backward pass: what depends on cotangents, and what is computed again, late, where it is first used."""
    graph, have = joint.graph, {*kept, *cotangents, *joint.constants}
    equations: list[Equation] = []

    def make(roots: Iterable[Any]) -> None:
        stack = [o for o in roots if o.__class__ is Variable]
        while stack:
            v = stack[-1]
            if v in have:
                stack.pop()
                continue
            e = joint.made[v]
            lacking = [o for o in e.operands if o.__class__ is Variable and o not in have]
            if lacking:
                stack += lacking
            else:
                equations.append(e)
                have.update(e.results)

    for e in graph.equations:
        if e in joint.late:
            make(e.operands)
            equations.append(e)
            have.update(e.results)
    make(joint.gradients)
    return rebuilt(graph, equations, joint.gradients, inputs=(*kept, *cotangents))


def _bytes(v: Variable) -> int:
    return prod(v.shape) * v.dtype.itemsize


def is_cheap(e: Equation) -> bool:
    """Tell whether an equation is no more than a loop over elements, or a view, so that running it again costs little."""
    op = e.op
    return op.pure and (op.view or op.name in _MOVES or (op.kind == ELEMENTWISE and op.lowering.__class__ is Expression))


def _fewest(joint: _Joint) -> Sequence[Variable]:
    """Return what the backward pass needs, or fewer values of which loops over few elements make it."""
    found: dict[Variable, None] = {}
    seen, stack = set(joint.needed), list(joint.needed)
    while stack:
        v = stack.pop()
        e = joint.made.get(v)
        operands = [] if e is None else [o for o in e.operands if o.__class__ is Variable and o not in joint.constants]
        if e is None or not is_cheap(e) or any([prod(o.shape) > FEW_ELEMENTS for o in (v, *operands)]):
            found[v] = None
            continue
        stack += [o for o in operands if o not in seen]
        seen.update(operands)
    return list(found) if len(found) < len(joint.needed) else joint.needed


# -- the cut -----------------------------------------------------------------------------------------------------------


def _cut(joint: _Joint) -> list[Variable]:
    """Return the values whose keeping costs least.

    The network (after the partitioner of PyTorch's functorch, and Chen et al., arXiv 1604.06174): a value is an arc from its
    `in` to its `out` node, with the cost of keeping it; arcs without bound lead from what an equation reads to what it gives,
    from the source to what cannot be computed again, and from what the backward pass uses to the sink. Of all minimal cuts
    the one nearest to the sink is taken, which computes least again.
    """
    places: dict[Variable, int] = {}
    arcs: list[tuple[int, int, float]] = []
    source, sink = 0, 1
    costs = _costs(joint)
    chain: dict[Variable, int] = {}
    for v in _reached(joint):
        places[v] = len(places)
        into, out = 2 + 2 * places[v], 3 + 2 * places[v]
        arcs.append((into, out, costs(v)))
        e = joint.made.get(v)
        operands = [] if e is None else {o for o in e.operands if o.__class__ is Variable and o not in joint.constants}
        chain[v] = max([chain[o] for o in operands], default=0) + (e is not None and e.op.kind == ELEMENTWISE)
        if e is None or not e.op.pure or (e in joint.early and not is_cheap(e)) or chain[v] > _CHAIN:
            arcs.append((source, into, -1))
            chain[v] = 0
        else:
            arcs += [(3 + 2 * places[o], into, -1) for o in operands]
            if not operands:  # of constants alone: nothing need be kept for it
                continue
    arcs += [(3 + 2 * places[v], sink, -1) for v in joint.needed]
    tails, heads, capacities = zip(*arcs, strict=True) if arcs else ((), (), ())
    near = nearest_cut(2 + 2 * len(places), tails, heads, capacities)
    return [v for v, place in places.items() if not near[2 + 2 * place] and near[3 + 2 * place]]


def _reached(joint: _Joint) -> list[Variable]:
    """Return the values from which those are made that the backward pass uses, in order."""
    reached = set(joint.needed)
    for v in reversed(joint.order):
        if v in reached and v in joint.made:
            reached.update([o for o in joint.made[v].operands if o.__class__ is Variable and o not in joint.constants])
    return [v for v in joint.order if v in reached]


def _costs(joint: _Joint) -> Any:
    """Return what keeping a value costs, as a function: its bytes, for being read, held, and written.

    Inputs and outputs are held and written in any case; so are, if not held, results of what is no loop over elements, and what
    that reads. Elementwise results are written for nothing else.
    """
    free = {v for v in (*joint.graph.inputs, *joint.outputs) if v.__class__ is Variable}
    written: set[Variable] = set()
    for e in joint.early:
        if not is_cheap(e):
            written.update(e.results)
            for o in e.operands:
                while o.__class__ is Variable:
                    written.add(o)
                    above = joint.made.get(o)
                    if above is None or not above.op.view:
                        break
                    o = above.operands[0]
    return lambda v: _bytes(v) * (1 if v in free else 2 if v in written else 3)

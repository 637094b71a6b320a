"""Accumulation: parts that are added into one place of a whole, as a running sum, each added where it is made.

A loop that reads a row of a stack of weights in each trip leaves a sum of as many rows in their places as there are trips.
Each joined to what the trips before left makes all trips alike, so that they have one piece of code.
"""

from __future__ import annotations

from typing import Any

from chainrule.compiler.graph.editing import Editing
from chainrule.compiler.graph.rebuilding import uses
from chainrule.compiler.graph.rewriting import frozen
from chainrule.core.op.declaration import TABLE
from chainrule.transforms.equations import Equation, Graph, Variable

FEW = 4  # parts of one place that may be added where the whole is


def accumulated(graph: Graph) -> Graph:
    """Return a graph in which sums of parts in few places are running sums of the parts, put in their places once.

    What is added up is the same, in the order in which it is made.
    """
    place, assemble = TABLE["place"], TABLE["assemble"]
    if sum([e.op is place for e in graph.equations]) < FEW and all([e.op is not assemble for e in graph.equations]):
        return graph
    return _Accumulated(graph).run()


class _Accumulated(Editing):
    """Sums whose terms are parts in their places, from the last to the first."""

    def run(self) -> Graph:
        """Return the graph in which they are running sums."""
        add, assemble = TABLE["add"], TABLE["assemble"]
        used = uses(self.equations, self.graph.outputs)
        for i in reversed(range(len(self.equations))):
            e = self.equations[i]
            if i in self.left_out:
                continue
            if e.op is assemble:
                self._add_up(i, e, [(e.results[0], self._parts(e.results[0]))], [])
            elif e.op is add and all([o.__class__ is Variable and o.shape == e.results[0].shape for o in e.operands]):
                terms, inner = self.terms(e, used)
                if len(terms) > FEW:
                    self._add_up(i, e, [(o, self._parts(o) if used.get(o) == 1 else None) for o in terms], inner)
        return self.result()

    def _add_up(self, at: int, root: Equation, terms: list[tuple[Any, list | None]], inner: list[int]) -> None:
        """Put a sum together anew, if several of its terms have one place."""
        out = root.results[0]
        places: dict[Any, list] = {}  # what tells it → chain, parts
        for _, parts in terms:
            for x, chain in parts or ():
                places.setdefault(frozen(chain), [chain]).append(x)
        if max([len(found) for found in places.values()], default=0) <= FEW:
            return
        self.left_out.update([at, *inner, *[self.position[o] for o, parts in terms if parts]])
        sums = [self._running(parts) for _, *parts in places.values()]
        chains = tuple([chain for chain, *_ in places.values()])
        rest = [o for o, parts in terms if not parts]
        whole = Variable(out.shape, out.dtype) if rest else out
        self.put(at, whole, "assemble", *sums, shape=out.shape, chains=chains)
        for k, o in enumerate(rest):
            whole = self.put(at, out if k == len(rest) - 1 else Variable(out.shape, out.dtype), "add", whole, o)

    def _parts(self, o: Any) -> list | None:
        """Return the parts that a term has, and the views of it that are their places."""
        e = self.maker(o, "place")
        if e is not None:
            return [(e.operands[0], ((TABLE["getitem"], {"index": e.params["index"]}, None, e.params["shape"]),))]
        e = self.maker(o, "assemble")
        if e is None or any([x.__class__ is not Variable or x.dtype is not o.dtype for x in e.operands]):
            return None
        return list(zip(e.operands, e.params["chains"], strict=True))

    def _running(self, parts: list[Variable]) -> Variable:
        """Put in the sum of some values, each added where it is made."""
        total, *others = sorted(parts, key=lambda x: self.position.get(x, -1))
        for x in others:
            total = self.put(self.position.get(x, -1) + 1, Variable(x.shape, x.dtype), "add", total, x)
        return total

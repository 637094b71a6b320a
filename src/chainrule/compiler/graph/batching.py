"""Batched products: many small matrix products with one factor in common, or that are summed, as one large one.

Unrolled recurrences multiply the rows of each step by the same weights, and sum a product of each step into a weight's
gradient. Rows by the same matrix become the rows of one product; a sum of products becomes a product of the factors side by
side. What is added up is the same, in an order that is BLAS's; sums over rows, which biases' gradients are, go along.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chainrule.compiler.graph.editing import Editing
from chainrule.compiler.graph.rebuilding import uses
from chainrule.core.op.declaration import TABLE
from chainrule.core.types import dtype as dtypes
from chainrule.transforms.equations import Equation, Graph, Variable

FEW = 3  # products from which one is made of them: each costs copies of its factors
SMALL = 512  # rows, or terms, beyond which a product is large by itself


def batched(graph: Graph) -> Graph:
    """Return a graph with fewer and larger matrix products."""
    mm = TABLE["mm"]
    if sum([e.op is mm for e in graph.equations]) < FEW:
        return graph
    summed = _Summed(graph).run()
    return _Stacked(summed).run()


class _Summed(Editing):
    """Sums of products, and of sums over rows."""

    def __init__(self, graph: Graph):
        super().__init__(graph)
        self.used = uses(graph.equations, graph.outputs)

    def run(self) -> Graph:
        """Return the graph in which they are one product."""
        add = TABLE["add"]
        for i in reversed(range(len(self.equations))):
            e = self.equations[i]
            if e.op is add and i not in self.left_out and e.results[0].dtype in (dtypes.float32, dtypes.float64):
                self._gather(i, e)
        return self.result()

    def _gather(self, at: int, root: Equation) -> None:
        """Replace a sum that holds several products, or sums over rows."""
        leaves, inner = self.terms(root, self.used)
        left: list[Any] = []
        products: list[Equation] = []
        columns: list[Equation] = []
        for o in leaves:
            product, column = self.maker(o, "mm"), self.maker(o, "sum_to")
            once = self.used.get(o) == 1
            if product is not None and once and product.operands[0].shape[1] <= SMALL:
                products.append(product)
            elif column is not None and once and _sums_rows(column):
                columns.append(column)
            else:
                left.append(o)
        found = []
        for group, make in ((products, self._product), (columns, self._column)):
            if len(group) >= FEW:
                group.sort(key=lambda e: self.position[e.results[0]])
                found.append(make(at, group))
                self.left_out.update([self.position[e.results[0]] for e in group])
            else:
                left += [e.results[0] for e in group]
        if not found:
            return
        self.left_out.update([*inner, at])
        result, terms = root.results[0], [*found, *left]
        while len(terms) > 2:
            terms[:2] = [self.put(at, Variable(result.shape, result.dtype), "add", *terms[:2])]
        last = self.before[at]
        if len(terms) == 2:
            last.append(Equation(TABLE["add"], tuple(terms), {}, (result,), False, True))
        else:
            e = last[-1]  # the product itself is the sum
            last[-1] = Equation(e.op, e.operands, e.params, (result,), False, True)

    def _product(self, at: int, group: list[Equation]) -> Variable:
        turned = [self.maker(e.operands[0], "permute") for e in group]
        bases = [t.operands[0] for t in turned if t is not None]
        k = sum([e.operands[0].shape[1] for e in group])
        out = group[0].results[0]
        if len(bases) == len(group):  # factors side by side are rows below each other, transposed
            rows = self.joined(at, bases, 0)
            left = self.put(at, Variable((out.shape[0], k), out.dtype), "permute", rows, order=(1, 0))
        else:
            left = self.joined(at, [e.operands[0] for e in group], 1)
        right = self.joined(at, [e.operands[1] for e in group], 0)
        return self.put(at, Variable(out.shape, out.dtype), "mm", left, right)

    def _column(self, at: int, group: list[Equation]) -> Variable:
        rows = self.joined(at, [e.operands[0] for e in group], 0)
        out = group[0].results[0]
        return self.put(at, Variable(out.shape, out.dtype), "sum_to", rows, shape=out.shape)


def _sums_rows(e: Equation) -> bool:
    x = e.operands[0]
    return len(x.shape) == 2 and e.results[0].shape == x.shape[1:] and 0 < x.shape[0] <= SMALL


class _Stacked(Editing):
    """Products of several rows by one matrix."""

    def __init__(self, graph: Graph):
        super().__init__(graph)
        self._groups: dict[Variable, list[Equation]] = {}
        self._first: dict[Variable, int] = {}
        for i, e in enumerate(graph.equations):
            for o in e.operands:
                if o.__class__ is Variable:
                    self._first.setdefault(o, i)

    def run(self) -> Graph:
        """Return the graph in which rows by one matrix are one product."""
        mm = TABLE["mm"]
        for e in self.equations:
            if e.op is mm and 0 < e.operands[0].shape[0] <= SMALL and e.results[0].dtype in (dtypes.float32, dtypes.float64):
                self._groups.setdefault(e.operands[1], []).append(e)
        batches = [
            (self._place(batch), matrix, batch)
            for matrix, group in self._groups.items()
            if len(group) >= FEW
            for batch in self._batches(group)
            if len(batch) >= FEW
        ]
        for at, matrix, batch in sorted(batches, key=lambda found: found[0]):
            self._stack(at, matrix, batch)
        return self.result()

    def _batches(self, group: list[Equation]) -> Iterable[list[Equation]]:
        """Yield those of which all factors are known before any result is used."""
        last = len(self.equations)
        batch: list[Equation] = []
        until = last
        for known, e in sorted([(self._known(e.operands[0]), e) for e in group], key=lambda pair: pair[0]):
            if known >= until:
                yield batch
                batch, until = [], last
            batch.append(e)
            until = min(until, self._first.get(e.results[0], last))
        yield batch

    def _known(self, o: Variable) -> int:
        """Return the position after which a value is known, seen through views, which may be taken earlier; -1 of inputs."""
        while (i := self.position.get(o, -1)) >= 0:
            e = self.equations[i]
            if e.op is TABLE["mm"]:
                return self._first[o]  # of a batch it may come as late as this
            if not (e.op.view and e.op.pure):
                break
            o = e.operands[0]
        return i

    def _place(self, batch: list[Equation]) -> int:
        """Return the position before which all factors are known, and no result is used."""
        known = max([self._known(o) for e in batch for o in e.operands])
        return max(1 + known, min([self.position[e.results[0]] for e in batch]))

    def _stack(self, at: int, matrix: Variable, batch: list[Equation]) -> None:
        for o in (matrix, *[e.operands[0] for e in batch]):
            self._take_views(at, o)
        rows = self.joined(at, [e.operands[0] for e in batch], 0)
        counts = tuple([e.operands[0].shape[0] for e in batch])
        out = batch[0].results[0]
        product = self.put(at, Variable((sum(counts), out.shape[1]), out.dtype), "mm", rows, matrix)
        results = tuple([e.results[0] for e in batch])
        parts = Equation(TABLE["split"], (product,), {"sizes": counts, "axis": 0}, results, True, True)
        self.before[at].append(parts)
        self.left_out.update([self.position[r] for r in results])

    def _take_views(self, at: int, o: Variable) -> None:
        """Move the views that lead to a value to before a position, where they come later."""
        chain = []
        while (i := self.position.get(o, -1)) >= at and i not in self.left_out:
            chain.append(i)
            o = self.equations[i].operands[0]
        for i in reversed(chain):
            self.before.setdefault(at, []).append(self.equations[i])
            self.left_out.add(i)

"""Which values of a function whose tape is known to hold for its backward pass, and which to compute again: a minimal cut.

What is dear to compute and small is held, what is cheap or large is computed again, at one price for a byte: of all choices
from which every saved value can be made, a cut finds the one that costs least. The price decides how much is held.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from chainrule.compiler.graph.cut import nearest_cut
from chainrule.utils._stretches import bytes_of
from chainrule.utils._tape import Step, Tape

_PRICES = 12
_ENDLESS = -1
_LEAST = 1e-12  # seconds: what keeps prices above 0
_UNIT = 1e9  # capacities are nanoseconds


class Choices:
    """What may be held of a tape, and what computing the rest again takes.

    Parameters
    ----------
    tape : Tape
    saved : sequence of int
        The variables that have to be there in the backward pass.

    Notes
    -----
    Two kinds of nodes make the network, after the project selection problem (Picard, Management Science 22(11), 1976,
    https://doi.org/10.1287/mnsc.22.11.1268): that a variable is there, and that a step runs again. A cut runs through

    - a step's arc to the sink, for the time that it takes, where the step runs again;
    - a variable's arc to its step, for the price of its bytes, where the variable is there and its step does not run again;

    and through no arc without bound: those from the source to what is saved, and from a step to what it is given.
    """

    def __init__(self, tape: Tape, saved: Sequence[int]):
        self.tape, self.nodes = tape, 2  # the source, 0, and the sink, 1, are the first
        self.tails, self.heads, self.capacities = array("q"), array("q"), array("d")
        self.variables, self.bytes = array("q"), array("q")
        self.there: dict[int, int] = {}  # by variable: its node
        self.runs: dict[int, int] = {}  # by the first result of a step: its node
        for v in saved:
            if v not in self.there and v not in tape.constants:
                self._arc(0, self._node(v), _ENDLESS)
        for v in self.variables:  # which grows
            step, first = tape.step_of(v)
            if first not in self.runs:
                self._run(step, first)  # type: ignore[arg-type]

    def _node(self, v: int) -> int:
        """Return the node that says that a variable is there."""
        node = self.there.get(v)
        if node is None:
            node = self.there[v] = self.nodes
            self.nodes += 1
            self.variables.append(v)
            self.bytes.append(bytes_of(self.tape, (v,)))
        return node

    def _run(self, step: Step, first: int) -> None:
        node = self.runs[first] = self.nodes
        self.nodes += 1
        self._arc(node, 1, _UNIT * max(step.seconds, _LEAST))
        for o in {*step.operands(first)} - self.tape.constants.keys():
            self._arc(node, self._node(o), _ENDLESS)

    def _arc(self, tail: int, head: int, capacity: float) -> None:
        self.tails.append(tail)
        self.heads.append(head)
        self.capacities.append(capacity)

    def __len__(self) -> int:
        return len(self.tails) + len(self.variables)

    def prices(self) -> list[float]:
        """Return seconds for a byte, from what the cheapest step's results are worth to what nothing is."""
        steps = [self.tape.step_of(first)[0] for first in self.runs]
        worth = [max(step.seconds, _LEAST) / max(sum(step.sizes), 1) for step in steps]  # type: ignore[union-attr]
        low, high = (min(worth), sum(worth)) if worth else (1.0, 1.0)
        return [low * (high / low) ** (i / _PRICES) for i in range(_PRICES)]

    def held(self, price: float) -> bytes:
        """Return by variable whether it is to be held where a byte is worth so many seconds."""
        runs = array("q", [self.runs[self.tape.step_of(v)[1]] for v in self.variables])
        bought = array("d", [_UNIT * price * size for size in self.bytes])
        near = nearest_cut(
            self.nodes, self.tails + array("q", self.there.values()), self.heads + runs, self.capacities + bought
        )
        found = bytearray(len(self.tape.steps))
        for v, run in zip(self.variables, runs, strict=True):
            found[v] = near[run] and not near[self.there[v]]
        return bytes(found)

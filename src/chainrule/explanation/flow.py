"""The flow of values through a run of a function: which public calls took a value, and where the way of its gradient ended.

The graph holds only what was recorded. Here every call of a public function is looked at, so that a value can be followed
through `detach`, ``no_grad``, comparisons, casts, ``item()`` and NumPy as well, to the call that cut it off from its gradient.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.graph.nodes import LEAF, LEAF_EDGE, PORT
from chainrule.core.mode.grad_mode import modes
from chainrule.core.mode.watch import Watcher
from chainrule.core.op.declaration import Op
from chainrule.core.record.notes import Place
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import bottom
from chainrule.overrides import TorchFunctionMode
from chainrule.transforms.custom import call
from chainrule.transforms.evidence import Evidence
from chainrule.transforms.trail import Key, key_of

_CUSTOM = call.__code__.co_filename
_LOOKS = frozenset((
    "size", "dim", "numel", "stride", "__len__", "is_contiguous", "__repr__", "__format__", "__str__", "is_floating_point",
    "is_complex", "retain_grad", "register_hook", "backward", "data_ptr", "storage_offset", "element_size", "__hash__",
    "register_post_accumulate_grad_hook", "is_inference", "nelement", "ndimension", "__dir__", "get_device", "is_same_size",
))  # fmt: skip
_PROPERTIES = frozenset(("data", "T", "mT", "H", "mH", "real", "imag"))  # those that give values


class Cut(NamedTuple):
    """A call that took a value and gave others that no gradient comes back from.

    Attributes
    ----------
    name : str
        Of the public function; of a custom function, inside of which it was called.
    place : Place
    sources : frozenset of Key
        Whose gradients end here.
    recorded : bool
        Whether the grad mode was on.
    results : list
        What it gave.
    custom : bool
        Whether it was called by the forward of a custom function.
    """

    name: str
    place: Place
    sources: frozenset
    recorded: bool
    results: list
    custom: bool = False


class Flow(TorchFunctionMode):
    """Looks at the public calls of a run.

    Attributes
    ----------
    cuts : list of Cut
    uses : dict
        Key of a source → the last (name, place) of a call that took it or what was computed of it.
    reads : dict
        Key of a source → the first (name, place) of a call by which its values left for Python or NumPy.
    roots : list of Tensor
        What `backward` was called on.
    sources : dict
        Key → the tensor: the given ones, and every leaf that was met.
    """

    def __init__(self, sources: list[Tensor]) -> None:
        super().__init__()
        self.cuts: list[Cut] = []
        self.uses: dict[Key, tuple[str, Place]] = {}
        self.reads: dict[Key, tuple[str, Place]] = {}
        self.roots: list[Tensor] = []
        self.sources: dict[Key, Any] = {}
        self._made: dict[int, tuple[Any, Place]] = {}
        self._leads: dict[int, frozenset] = {}  # node number → the sources that it leads to
        # Of each value that was computed of sources: itself (so that its id stays its own), the sources, the cuts on the way.
        self._lineage: dict[int, tuple[Any, frozenset, frozenset]] = {}
        self._memory: dict[int, tuple[Any, frozenset, frozenset]] = {}
        for t in sources:
            self._add_source(t)

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Call a public function, and note what it made of what."""
        kwargs = kwargs or {}
        name = _name(func)
        before = [(value, self.lineage(value)) for value in _values((args, kwargs))] if name is not None else []
        leads = frozenset().union(*[self.leads(v) for v, _ in before])
        out = func(*args, **kwargs)
        if name == "backward":
            self.roots += [v for v in list(_values(args[:1])) if isinstance(v, Tensor)]
        if name is not None and name not in _LOOKS:
            self._note(name, args, before, leads, out)
        return out

    def _note(self, name: str, args: tuple, before: list, leads: frozenset, out: Any) -> None:
        of = frozenset().union(*[sources for _, (sources, _) in before])
        cuts = frozenset().union(*[passed for _, (_, passed) in before])
        results = list(_values(out))
        if not of:
            place = Place()
            for v in results:
                self._made.setdefault(id(v), (v, place))
                self.lineage(v)  # a leaf is a source
            return
        if (name.endswith("_") and not name.endswith("__")) or name == "__setitem__":
            results += list(_values(args[:1]))
        place = Place()
        for v in results:
            self._made.setdefault(id(v), (v, place))
        for key in of:
            self.uses[key] = (name, place)
        if out is not None and not any(isinstance(v, Tensor) for v in results):
            for key in of:
                self.reads.setdefault(key, (name, place))
        after = frozenset().union(*[self.leads(v) for v in results])
        lost = leads - after
        shared = of - leads - after if not lost else frozenset()
        if results and (lost or (shared and not cuts)):
            self.cuts.append(_cut(name, place, lost or shared, results))
            cuts |= {len(self.cuts) - 1}
        for v in results:
            _, passed = self.lineage(v)
            self._keep(v, of, cuts | passed)

    def _keep(self, value: Any, sources: frozenset, cuts: frozenset) -> None:
        self._lineage[id(value)] = (value, sources, cuts)
        root = _root(value)
        if root is not None:
            old = self._memory.get(id(root), (root, frozenset(), frozenset()))
            self._memory[id(root)] = (root, old[1] | sources, old[2] | cuts)

    def _add_source(self, t: Tensor) -> None:
        if t._node is not None and (t._node is LEAF or hasattr(t._node, "_kind")):
            key = key_of(t if t._node is LEAF else t._node)
        else:
            key = (0, id(t))
        if key not in self.sources:
            self.sources[key] = t
            self._keep(t, frozenset((key,)), frozenset())

    def lineage(self, value: Any) -> tuple[frozenset, frozenset]:
        """Return the sources that a value was computed of, and the cuts on the way."""
        found = self._lineage.get(id(value))
        if found is not None and found[0] is value:
            return found[1:]
        root = _root(value)
        held = None if root is None else self._memory.get(id(root))
        if isinstance(value, Tensor) and value._node is LEAF and not value._level:
            self._add_source(value)
            if held is not None:  # a new leaf in the memory of another
                cuts = held[2]
                if not cuts:
                    self.cuts.append(_cut("Parameter", Place(), held[1], [value]))
                    cuts = frozenset((len(self.cuts) - 1,))
                self._lineage[id(value)] = (value, self._lineage[id(value)][1] | held[1], cuts)
            return self._lineage[id(value)][1:]
        return (frozenset(), frozenset()) if held is None else held[1:]

    def made_at(self, value: Any) -> Place | None:
        """Return where the run made a value; None if it did not."""
        found = self._made.get(id(value))
        return found[1] if found is not None and found[0] is value else None

    def leaves(self) -> list[Tensor]:
        """Return the leaves that were met."""
        return [t for key, t in self.sources.items() if not key[0] and t._node is LEAF]

    def leads(self, value: Any) -> frozenset:
        """Return the sources that the history of a value leads to."""
        if not isinstance(value, Tensor) or value._node is None or value._level:
            return frozenset()
        return self.behind(value if value._node is LEAF else value._node)

    def behind(self, edge: Any) -> frozenset:
        """Return the sources that an edge leads to, or is the edge of."""
        try:
            kind = edge._kind
        except RuntimeError:  # a view that may not be used
            return frozenset()
        own = frozenset((key_of(edge),)) & self.sources.keys()
        if kind == LEAF_EDGE:
            return own
        node = edge.node if kind == PORT else edge
        stack = [node]
        while stack:  # nodes are numbered in the order they are made, so those below are mostly known
            top = stack[-1]
            if top.id in self._leads:
                stack.pop()
                continue
            below = [(e.node if e._kind == PORT else e) for e in top.edges if e is not None and e._kind != LEAF_EDGE]
            unknown = [n for n in below if n.id not in self._leads]
            if unknown:
                stack += unknown
                continue
            found = frozenset().union(*[self._leads[n.id] for n in below])
            found |= frozenset(key_of(e) for e in top.edges if e is not None) & self.sources.keys()
            self._leads[top.id] = found
            stack.pop()
        return own | self._leads[node.id]


def _cut(name: str, place: Place, sources: frozenset, results: list) -> Cut:
    """Return a cut; one inside of a custom function's forward as the call of that function."""
    recorded = bool(modes().record)
    if not recorded and (rules := custom_rules()) is not None:
        frames = place.frames
        outer = next((i for i in range(len(frames) - 1, 0, -1) if frames[i][0].co_name == "forward"), None)
        if outer is not None:
            place.frames = frames[:outer]
        return Cut(rules.name, place, sources, recorded, results, True)
    return Cut(name, place, sources, recorded, results)


def custom_rules() -> Any:
    """Return the rules of the custom function whose forward is running; None if none's is."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        rules = frame.f_locals.get("rules") if frame.f_code.co_filename == _CUSTOM else None
        if rules is not None:
            return rules
        frame = frame.f_back
    return None


def _name(func: Any) -> str | None:
    """Return the name of a public function; None for a property that gives no values."""
    owner = getattr(func, "__self__", None)
    if isinstance(owner, property):
        name = getattr(owner.fget, "__name__", "")
        return name if name in _PROPERTIES and func.__name__ == "__get__" else None
    return getattr(func, "__name__", type(func).__name__)


def _values(tree: Any) -> Iterator[Any]:
    """Yield the tensors, arrays and floats in arguments or results."""
    if isinstance(tree, (Tensor, np.ndarray, float, np.generic)):
        yield tree
    elif isinstance(tree, (list, tuple)):
        for item in tree:
            yield from _values(item)
    elif isinstance(tree, dict):
        for item in tree.values():
            yield from _values(item)
    elif isinstance(tree, int) and not isinstance(tree, bool) and abs(tree) > 256:  # small ones are one object for all
        yield tree


def _root(value: Any) -> Any:
    """Return the array whose memory a value lies in; None for a scalar."""
    data = value._data if isinstance(value, Tensor) and not value._level else value
    if not isinstance(data, np.ndarray):
        return None
    while isinstance(data.base, np.ndarray):
        data = data.base
    return data


class Calls(Watcher):
    """Looks at the kernels of a run, so that the values of what was not recorded can be followed, too."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[int, Evidence] = {}

    def around(self, op: Op, payloads: list, params: dict, proceed: Callable[[], Any]) -> Any:
        """Run a kernel, and keep what it made of what."""
        outs = proceed()
        results = list(outs) if outs.__class__ in (tuple, list) else [outs]
        call = Evidence.of_call(op, list(payloads), results, params, Place())
        for o in results:
            self._made[id(o)] = call
        return outs

    def made_by(self, value: Any) -> Evidence | None:
        """Return the call that made an array; None if none did."""
        found = self._made.get(id(bottom(value)))
        return found if found is not None and any(o is value for o in found.results) else None

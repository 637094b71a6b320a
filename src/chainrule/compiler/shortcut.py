"""The short way of a call: one function for one path, written out as Python code, where nothing else can be asked of it.

It takes the arguments apart as their structure says, compares what the native code does not look at itself (``llvm.compare``:
what the recording depends on; ``llvm.entry``: the tensors that the plan takes), runs the plan, and puts the result together.
Where tensors carry derivatives, the results get their history from what is known of the path (``history``); effects are
carried out last. Where anything differs, the call goes the long way. Plans with steps in Python, or with draws, run as they do
there.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule.amp.casting import SETTINGS
from chainrule.compiler.call import UnfitError, static_of
from chainrule.compiler.history import History, has_history
from chainrule.compiler.llvm.compare import Comparison
from chainrule.compiler.llvm.engine import UnavailableError
from chainrule.compiler.llvm.entry import ANY
from chainrule.compiler.llvm.runtime import runtime
from chainrule.compiler.paths import Path
from chainrule.compiler.record.recording import (
    Argument,
    Captured,
    Computed,
    Input,
    Repeat,
    Same,
    SetGradient,
    Static,
    View,
    Write,
)
from chainrule.compiler.result import note_writes, put_gradient, shown, write
from chainrule.compiler.stance import STATE
from chainrule.core.graph.nodes import LEAF
from chainrule.core.mode.grad_mode import Mode, modes
from chainrule.core.mode.state import is_ordinary
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.types.dtype import get_default_dtype
from chainrule.core.types.tree import TreeSpec, tree_flatten, tree_unflatten
from chainrule.settings import are_deterministic_algorithms_enabled

REFUSED: Any = NotImplemented  # what a short way returns for a call that is to go the long way
MOST = 1024  # leaves


def shortcut(path: Path, leaves: Sequence[Any], spec: TreeSpec, mode: Mode, long: Callable) -> Callable | None:
    """Return a function of the arguments' tuple and dict that gives a call's result, or `REFUSED`; None where there is none.

    Parameters
    ----------
    path : Path
    leaves, spec
        A call's that it served.
    mode : Mode
        In which that was made.
    long : callable
        Returns the rules of a call, as :class:`chainrule.compiler.history.History` takes it.
    """
    given = path.inputs(leaves)
    if not (
        len(leaves) <= MOST
        and is_native()
        and is_ordinary(mode)
        and all([not isinstance(a, Tensor) or (a.__class__._plain and a.__class__._level == 0) for a in (*leaves, *given)])
        and (not path.joint.moving or has_history(path, given))
    ):
        return None
    return _Writer(path, leaves, spec, given, mode, long).function()


def is_native() -> bool:
    """Tell whether there is native code that compares."""
    try:
        return bool(runtime().same)
    except UnavailableError:
        return False


class _Writer:
    """The code of a short way, as it is written: lines, and the objects that they name."""

    def __init__(self, path: Path, leaves: Sequence[Any], spec: TreeSpec, given: Sequence[Any], mode: Mode, long: Callable):
        self.path, self.recording, self.leaves, self.spec, self.given = path, path.recording, leaves, spec, given
        self.mode, self.history = mode, History(path, given, long) if path.joint.moving else None
        self.single = len(self.recording.graph.outputs) == 1
        self.targets: dict[int, Tensor] = {}  # those that the native code writes to, by the places of their values
        self.lines: list[str] = []
        self.names: dict[str, Any] = {"REFUSED": REFUSED, "LEAF": LEAF}
        self.unpacked: list[str] = []  # the leaves
        self.fetched: list[str] = []

    def function(self) -> Callable:
        """Return the function."""
        recording, path, history = self.recording, self.path, self.history
        entry = None
        if hasattr(path.plan, "on_tensors") and not path.generators:
            self.targets = {} if self.single else _written(path)
            entry = path.plan.on_tensors([_kind(t) for t in self.given], self.single, self.targets)
        if entry is None:
            self.targets = {}
        self._settings()
        self._arguments()
        inputs = [self._source(i, s) for i, s in enumerate(recording.sources)]
        self._compare(inputs, entry is not None)
        self._run(inputs, entry)
        if history is not None:
            self._line(history.write(self._name, inputs, [getattr(t, "_node", None) for t in self.given]))
        self._effects()
        self._result()
        source = "def short(args, kwargs):\n" + "\n".join([f"    {line}" for line in self.lines])
        exec(compile(source, "<the short way of a call>", "exec"), self.names)
        return self.names["short"]

    def _line(self, text: str) -> None:
        self.lines.append(text)

    def _name(self, value: Any) -> str:
        """Return the name under which an object is known."""
        name = f"k{len(self.names)}"
        self.names[name] = value
        return name

    def _refuse(self, condition: str) -> None:
        self._line(f"if {condition}: return REFUSED")

    def _settings(self) -> None:
        """Write that what the process and the thread have set is as it was."""
        settings, dtype = SETTINGS.get(), get_default_dtype()
        deterministic = "not " if are_deterministic_algorithms_enabled() else ""
        state = self._name(STATE)
        self._refuse(
            f"{self._name(modes)}() is not {self._name(self.mode)} or {state}.disabled or {state}.stance != 'default' "
            f"or {self._name(SETTINGS.get)}() is not {self._name(settings)} "
            f"or {self._name(get_default_dtype)}() is not {self._name(dtype)} "
            f"or {deterministic}{self._name(are_deterministic_algorithms_enabled)}()"
        )

    # -- arguments -------------------------------------------------------------------------------------------------

    def _arguments(self) -> None:
        """Write how the arguments are taken apart, and that what is no tensor among them is what it was."""
        positional, named = self.spec.children_specs
        self._line("try:")
        start = len(self.lines)
        self._children("args", positional)
        words = list(named.context)
        self._refuse(f"len(kwargs) != {len(words)}" if words else "kwargs")
        for word, child in zip(words, named.children_specs, strict=True):
            self._part(f"kwargs[{word!r}]", child)
        self.lines[start:] = [f"    {line}" for line in self.lines[start:]]
        self._line("except (ValueError, KeyError, RuntimeError): return REFUSED")
        for name, leaf in zip(self.unpacked, self.leaves, strict=True):
            if not isinstance(leaf, Tensor):
                differs = f"{self._name(_differs)}({name}, {self._name(static_of(leaf))})"
                fixed = leaf.__class__ in (int, float, bool, str, type(None))
                self._refuse(f"{name} is not {self._name(leaf)} and {differs}" if fixed else differs)
        self._line(f"leaves = ({_tuple(self.unpacked)})")

    def _part(self, text: str, spec: TreeSpec) -> None:
        """Take apart what an expression gives."""
        name = f"a{len(self.unpacked)}" if spec.type is None else f"c{len(self.lines)}"
        self._line(f"{name} = {text}")
        if spec.type is None:
            self.unpacked.append(name)
        else:
            self._taken_apart(name, spec)

    def _taken_apart(self, name: str, spec: TreeSpec) -> None:
        if spec.type in (list, tuple):
            self._refuse(f"{name}.__class__ is not {spec.type.__name__}")
            self._children(name, spec)
        elif spec.type in (dict, OrderedDict):
            self._refuse(f"{name}.__class__ is not {self._name(spec.type)} or list({name}) != {self._name(spec.context)}")
            self._children(f"{name}.values()", spec)
        else:
            flattened, parts = self._name(tree_flatten), range(len(self.unpacked), len(self.unpacked) + spec.num_leaves)
            self._line(f"{name}, found = {flattened}({name})")
            self._refuse(f"found != {self._name(spec)}")
            self.unpacked += [f"a{i}" for i in parts]
            self._line(f"{_targets([f'a{i}' for i in parts])} = {name}")

    def _children(self, text: str, spec: TreeSpec) -> None:
        names: list[str] = []
        deeper: list[tuple[str, TreeSpec]] = []
        for child in spec.children_specs:
            if child.type is None and not deeper:
                names.append(f"a{len(self.unpacked)}")
                self.unpacked.append(names[-1])
            else:
                names.append(f"p{len(self.lines)}_{len(names)}")
                deeper.append((names[-1], child))
        self._line(f"{_targets(names)} = {text}")
        for name, child in deeper:
            if child.type is None:
                self._part(name, child)
            else:
                self._taken_apart(name, child)

    # -- what the recording depends on -----------------------------------------------------------------------------

    def _compare(self, inputs: Sequence[str], by_entry: bool) -> None:
        """Write that what the recording depends on is as it was, and how tensors lie that the native entry does not look at."""
        state, comparison = self.recording.state, Comparison()
        rest = state.compare(comparison, self.leaves)
        seen = set(inputs) if by_entry else set()
        for i, (name, leaf) in enumerate(zip(self.unpacked, self.leaves, strict=True)):
            if isinstance(leaf, Tensor) and name not in seen:
                comparison.leaf(i, leaf, _kind(leaf)[1])
        for t, source in zip(self.given, self.recording.sources, strict=True):
            if not by_entry and source.__class__ is Captured:
                comparison.node(t)
        same = self._name(comparison.function(runtime().same, len(self.leaves)))
        self._line(f"same = {same}({_tuple(self.unpacked)})")
        self._line("if same is not True:")
        self._line(f"    judged = {self._name(state.are_apart)} if same is None else {self._name(state.holds)}")
        self._line("    if same is REFUSED or not judged(leaves): return REFUSED")
        for holds in rest:
            self._refuse(f"not {self._name(holds)}(leaves)")
        self.lines += self.fetched
        for name, t in dict([*zip(self.unpacked, self.leaves, strict=True), *zip(inputs, self.given, strict=True)]).items():
            if isinstance(t, Tensor) and _kind(t)[1] is ANY:
                self._refuse(f"{name}._node is None or {name}._node is LEAF")
        for i in () if self.history is None else self.history.kept:
            self._refuse(f"{inputs[i]}._meta is not None and {inputs[i]}._meta.inference")

    def _source(self, i: int, source: Any) -> str:
        """Return the expression of an input of the graph."""
        if source.__class__ is Argument:
            return self.unpacked[source.position]
        if source.__class__ is Captured:
            return self._name(source.tensor)
        self.fetched.append(f"g{i} = {self._name(source.fetch)}(leaves)")
        return f"g{i}"

    # -- the run ---------------------------------------------------------------------------------------------------

    def _run(self, inputs: Sequence[str], entry: Callable | None) -> None:
        """Write the run of the plan: `found` are tensors of the graph's outputs."""
        if entry is None:
            self._line(f"found, states = {self._name(self.path.tensors)}([{', '.join(inputs)}])")
            self._refuse("found is None")
            return
        self._line("states = None")
        if self.single:
            self._line(f"f = {self._name(entry)}({', '.join(inputs)})")
            self._refuse(f"f.__class__ is not {self._name(Tensor)}")
            self._line("found = (f,)")
        else:
            self._line(f"found = {self._name(entry)}({', '.join(inputs)})")
            self._refuse("found.__class__ is not tuple")

    def _effects(self) -> None:
        """Write how the path's effects are carried out, as ``result.commit`` does."""
        places = {v: i for i, v in enumerate(self.recording.graph.outputs)}
        uses, written, repeats, taken = _uses(self.path), [], [], set(self.path.joint.saved)
        for effect in self.recording.effects:
            i = places.get(effect.variable)
            if isinstance(effect, Repeat):
                repeats.append(effect.call)
            elif isinstance(effect, SetGradient):
                value = f"found[{i}]" if uses[effect.variable] == 1 else f"{self._name(wrap)}(found[{i}]._data)"
                if effect.variable in taken:
                    value = f"{self._name(wrap)}(found[{i}]._data.copy())"
                taken.add(effect.variable)
                self._line(f"{self._name(put_gradient)}({self._fetched(effect.of)}, {None if i is None else value})")
            elif i in self.targets:
                written.append((self.targets[i], effect.times))
            else:
                self._line(f"{self._name(write)}({self._fetched(effect.source)}, found[{i}]._data, {effect.times})")
        if written:
            self._line(f"{self._name(note_writes)}({self._name(tuple(written))})")
        for call in repeats:
            self._line(f"{self._name(call)}()")

    def _result(self) -> None:
        """Write how the result is put together."""
        places = {v: i for i, v in enumerate(self.recording.graph.outputs)}
        outputs: list[Any] = list(enumerate(self.recording.outputs))
        for i, out in sorted(outputs, key=lambda each: isinstance(each[1], (Same, View))):  # after what they show
            if isinstance(out, Computed):
                text = f"found[{places[out.variable]}]"
            elif isinstance(out, Static):
                text = self._name(out.value)
            elif isinstance(out, Input):
                text = self._fetched(out.source)
            elif isinstance(out, Same):
                text = f"o{out.position}"
            else:
                base = f"o{out.base}" if isinstance(out.base, int) else self._fetched(out.base)
                text = f"{self._name(shown)}({base}, {self._name(out)})"
            self._line(f"o{i} = {text}")
        self._line(f"return {self._built(self.recording.out_spec, iter(range(len(self.recording.outputs))))}")

    def _fetched(self, source: Any) -> str:
        if source.__class__ is Captured:
            return self._name(source.tensor)
        return f"{self._name(source.fetch)}(leaves)"

    def _built(self, spec: TreeSpec, numbers: Iterator[int]) -> str:
        """Return the expression of a structure of results."""
        if spec.type is None:
            return f"o{next(numbers)}"
        if spec.type not in (list, tuple, dict):
            leaves = [f"o{next(numbers)}" for _ in range(spec.num_leaves)]
            return f"{self._name(tree_unflatten)}([{', '.join(leaves)}], {self._name(spec)})"
        parts = [self._built(child, numbers) for child in spec.children_specs]
        if spec.type is dict:
            return "{" + ", ".join([f"{self._name(key)}: {part}" for key, part in zip(spec.context, parts, strict=True)]) + "}"
        return f"[{', '.join(parts)}]" if spec.type is list else f"({_tuple(parts)})"


def _uses(path: Path) -> Counter:
    """Return how often each variable is a result, a value that an effect takes, or kept for the backward pass."""
    recording = path.recording
    named = [getattr(o, "variable", None) for o in (*recording.outputs, *recording.effects)]
    return Counter([*named, *path.joint.saved])


def _written(path: Path) -> dict[int, Tensor]:
    """Return the tensors that take outputs of the graph which are nothing else, by the places of these."""
    recording, uses = path.recording, _uses(path)
    places = {v: i for i, v in enumerate(recording.graph.outputs)}
    found = {}
    for effect in recording.effects:
        if effect.__class__ is Write and effect.source.__class__ is Captured and uses[effect.variable] == 1:
            data, v = effect.source.tensor._data, effect.variable
            same = data.__class__ is np.ndarray and (data.shape, data.dtype) == (tuple(v.shape), v.dtype.numpy)
            if same and data.flags.c_contiguous and data.flags.writeable and data.flags.aligned:
                found[places[v]] = effect.source.tensor
    ends = sorted([np.lib.array_utils.byte_bounds(t._data) for t in found.values()])
    apart = all([end <= start for (_, end), (start, _) in pairwise(ends)])
    return found if apart else {}


def _tuple(names: Sequence[str]) -> str:
    """Return the content of a display of a tuple."""
    return ", ".join(names) + ("," if len(names) == 1 else "")


def _targets(names: Sequence[str]) -> str:
    return f"[{', '.join(names)}]"


def _differs(value: Any, key: Any) -> bool:
    """Tell whether what is no tensor is another than that with a key."""
    try:
        return isinstance(value, Tensor) or static_of(value) != key
    except UnfitError:
        return True


def _kind(t: Any) -> tuple[Any, Any]:
    """Return what the entry compares with an input: its class and its node, where that is not another in each call."""
    if t.__class__ is float:
        return None, None
    return t.__class__, t._node if t._node is None or t._node is LEAF else ANY

"""A compiled function: what it has recorded, by what its calls are known by, and how a call is served."""

from __future__ import annotations

import functools
import threading
import types
import warnings
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from chainrule.compiler.call import AsideError, BatchedError, RecordedError, UnfitError, is_dual, key_of, static_key
from chainrule.compiler.derived import Differentiated, differentiated
from chainrule.compiler.joint import record_call
from chainrule.compiler.mapped import OfExamples, call_on_examples
from chainrule.compiler.paths import Path, Paths, Served
from chainrule.compiler.pausing import collector_paused
from chainrule.compiler.record.recording import Captured
from chainrule.compiler.result import assembled, commit
from chainrule.compiler.shortcut import REFUSED, shortcut
from chainrule.compiler.stance import STATE
from chainrule.core.generator import Draws
from chainrule.core.graph.nodes import LEAF
from chainrule.core.mode.grad_mode import Mode, modes, set_modes
from chainrule.core.tensor.tensor import Tensor, wrap
from chainrule.core.tensor.value import bottom
from chainrule.core.types.symbol import Symbol, Unrecordable
from chainrule.core.types.tree import TreeSpec, tree_unflatten
from chainrule.transforms.equations import flatten_call


class CompileError(RuntimeError):
    """A function that was to be compiled whole (``fullgraph=True``) cannot be."""


class Options(NamedTuple):
    """What :func:`compile` was told.

    Attributes
    ----------
    fullgraph, unbounded : bool
        Raise instead of running the function as it is; record as many specialisations as calls ask for.
    native : bool
        Make native code, if there is what makes it.
    specialisations : int or None
        How many are kept of a function; None for as many as the process keeps.
    paths : int
        How many are kept of a specialisation.
    name : str or None
    """

    fullgraph: bool = False
    unbounded: bool = False
    native: bool = True
    specialisations: int | None = None
    paths: int = 64
    name: str | None = None


SERVED: Any = object()  # the result of a call that the path it made is to serve
_MOST_LOST = 8
_MOST_SHORT = 4  # short ways that a call tries, a microsecond each
_RECORDING = threading.RLock()  # a recording has hold of the tensors that it uses, parameters among them
_PATIENCE = 20.0  # seconds that a call waits for another thread's recording, which may itself wait for this thread


class Specialisation:
    """What is known of calls with one key.

    Attributes
    ----------
    paths : Paths
    reason : str or None
        Why they are run as they are, if they are.
    lost : int
        How many recordings in a row could not be replayed, the last because of `why`.
    """

    __slots__ = ("lost", "paths", "reason", "why")

    def __init__(self) -> None:
        self.paths = Paths()
        self.reason: str | None = None
        self.lost, self.why = 0, ""

    def is_recorded_now(self) -> bool:
        """Tell whether another thread's recording has hold of a tensor that the paths use."""
        sources = [s for path in self.paths.all for s in path.recording.sources if isinstance(s, Captured)]
        return any([s.tensor._data.__class__ is Symbol for s in sources])

    def lose(self, why: str) -> None:
        """Note a call that could not be recorded or replayed; too many are not tried again."""
        self.lost, self.why = self.lost + 1, why
        if self.lost > _MOST_LOST:
            self.reason = why


class Compiled:
    """A function that records itself as it is called, and replays what it recorded.

    Attributes
    ----------
    graph : Graph
        Of the path that served the last call.
    """

    def __init__(self, f: Callable, options: Options, reads: Callable | None = None):
        functools.update_wrapper(self, f, updated=())
        self._torchdynamo_orig_callable = f
        self._options = options
        self._known: OrderedDict[Any, Specialisation] = OrderedDict()
        self._lock = threading.RLock()
        self._warned: set[str] = set()
        self._last: Path | None = None
        self._short: Callable | None = None
        self._shorts: tuple[Callable, ...] = ()  # others that have served calls
        self._of_examples: dict[Any, Any] = {}
        self._reads = f if reads is None else reads
        STATE.compiled.add(self)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<compiled {self._options.name or getattr(self, '__qualname__', repr(self._torchdynamo_orig_callable))}>"

    def __reduce__(self) -> tuple:
        return Compiled, (self._torchdynamo_orig_callable, self._options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        if self._short is not None:
            result = self._short(args, kwargs)
            if result is not REFUSED:
                return result
            for short in self._shorts:
                if (result := short(args, kwargs)) is not REFUSED:
                    self._prefer(short)
                    return result
        mode = modes()
        f = self._torchdynamo_orig_callable
        if _stands_aside(mode):
            return f(*args, **kwargs)
        leaves, spec = flatten_call(args, kwargs)
        try:
            key = key_of(leaves, spec, mode)
        except BatchedError:
            rules = OfExamples(partial(_flat, f, spec), leaves, static_key(leaves, spec), self._of_examples, self._compiled)
            return call_on_examples(rules, [x for x in leaves if isinstance(x, Tensor)])
        except AsideError:
            return f(*args, **kwargs)
        except RecordedError:
            with _RECORDING:
                pass
            return self(*args, **kwargs)
        except UnfitError as why:
            return self._as_it_is(str(why), args, kwargs)
        if mode.mapped:  # on nothing that has examples; it may draw for each
            return f(*args, **kwargs)
        known = self._known.get(key)
        if known is None:
            known = self._new(key)
            if known is None:
                return f(*args, **kwargs)
        if known.reason is not None:
            return self._as_it_is(known.reason, args, kwargs)
        try:
            served = known.paths.run(leaves)
        except Unrecordable:  # another thread's recording has hold of a tensor
            with _RECORDING:
                pass
            return self(*args, **kwargs)
        except Exception as error:  # a kernel's: the function itself raises it, or deals with it
            if known.is_recorded_now():
                with _RECORDING:
                    pass
                return self(*args, **kwargs)
            result = f(*args, **kwargs)
            known.lose(f"{type(error).__name__} where it is replayed, and not where it is called: {error}")
            return result
        if served is None:
            if not self._may_record(known):
                return self._as_it_is(known.reason or "", args, kwargs)
            if not _RECORDING.acquire(timeout=_PATIENCE):
                return f(*args, **kwargs)
            try:
                with collector_paused():
                    done, served = self._recorded(known, leaves, spec)
            finally:
                _RECORDING.release()
            if served is None:
                return done[0] if done else self._as_it_is(known.reason or known.why, args, kwargs)
        path = served.path
        if path.short is None and path.served:  # it has served another call
            path.short = shortcut(path, leaves, spec, mode, partial(self._rules, spec)) or False
        path.served = True
        if path.short:
            self._prefer(path.short)
        return self._result(served, leaves, spec)

    # -- what a call needs -----------------------------------------------------------------------------------------

    def _result(self, served: Served, leaves: list, spec: TreeSpec) -> Any:
        """Return a call's result: what a path computed, put together as the function does."""
        path = self._last = served.path
        recording, joint = path.recording, path.joint
        variables = recording.graph.outputs
        tensors: dict = {}
        f = self._torchdynamo_orig_callable
        inputs = [t for t in served.inputs if t.__class__ is not float]
        dual = any([isinstance(t, Tensor) and t._level > 0 and is_dual(t) for t in leaves])
        if (dual and (joint.moving or path.inexact)) or (joint.moving and any([_carries(t) for t in inputs])):
            if dual and path.hides_tangents:
                return _flat(f, spec, leaves)
            tensors = differentiated(served, partial(_flat, f, spec), leaves, self._compiled, dual and not joint.moving)
        if recording.effects:
            commit(recording, dict(zip(variables, served.results, strict=True)), leaves, joint.saved)
        for v, array in zip(variables, served.results, strict=True):
            if v not in tensors:
                tensors[v] = wrap(array)
        return assembled(recording, tensors, leaves)

    def _prefer(self, short: Callable) -> None:
        """Try a short way first in the next call, then the one that was tried first, and others."""
        known = [s for s in (self._short, *self._shorts) if s is not None and s is not short]
        self._short, self._shorts = short, tuple(known[: _MOST_SHORT - 1])

    def _rules(self, spec: TreeSpec, served: Served, leaves: list) -> Differentiated:
        """Return the rules of a call that carries derivatives at level 0."""
        return Differentiated(served, partial(_flat, self._torchdynamo_orig_callable, spec), leaves, self._compiled, False)

    def _may_record(self, known: Specialisation) -> bool:
        """Tell whether a call may be recorded; note why not."""
        if STATE.stance == "eager_on_recompile" and known.paths.all:
            return False
        if STATE.stance == "fail_on_recompile":
            raise RuntimeError(f"{self!r} would record a call anew, which the stance 'fail_on_recompile' forbids")
        if len(known.paths.all) >= self._options.paths:
            known.reason = f"its values have led through more than {self._options.paths} paths"
        return known.reason is None

    def _recorded(self, known: Specialisation, leaves: list, spec: TreeSpec) -> tuple[tuple, Served | None]:
        """Record a call: return its result, in a tuple, or what a path served of it; neither if it is to be run as it is."""
        alone = any([isinstance(x, Tensor) and x._level for x in leaves])
        given = _stripped(leaves) if alone else leaves
        mode = modes()
        draws = Draws(mode.draws)
        set_modes(
            mode.having(scopes=(), floor=0, open={}, mapped=(), recorder=0, draws=draws) if alone else mode.having(draws=draws)
        )
        try:
            joint = record_call(self._torchdynamo_orig_callable, given, spec, lambda: AGAIN, alone, self._reads, SERVED)
        finally:
            set_modes(mode)
        why = joint.recording.why
        if why:
            known.lose(why)
            if joint.result is AGAIN and not known.paths.all:
                known.reason = why
            if joint.result is AGAIN:
                return (), None
            if alone:
                draws.rewind()
                return (), None
            return (joint.result,), None
        known.lost = 0
        path = self._last = Path(joint, self._options.native, leaves)
        known.paths.add(path)
        if not alone and joint.result is not SERVED:
            return (joint.result,), None
        draws.rewind()
        return (), known.paths.run(leaves)

    def _compiled(self, f: Callable) -> Compiled:
        """Return a derivative of the function, compiled as it is."""
        return Compiled(f, self._options._replace(fullgraph=False), self._reads)

    def _new(self, key: Any) -> Specialisation | None:
        """Return a new specialisation, or None if there are too many."""
        with self._lock:
            limit = self._options.specialisations or STATE.specialisations
            if len(self._known) >= limit:
                if not self._options.unbounded:
                    self._say(f"it was called in more than {limit} ways: with other shapes, dtypes or numbers")
                    return None
                self._known.popitem(last=False)
            return self._known.setdefault(key, Specialisation())

    def _as_it_is(self, reason: str, args: tuple, kwargs: dict) -> Any:
        """Run the function itself; say why, once."""
        if reason:
            self._say(reason)
        return self._torchdynamo_orig_callable(*args, **kwargs)

    def _say(self, reason: str) -> None:
        if self._options.fullgraph:
            raise CompileError(f"{self!r} cannot be compiled whole: {reason}")
        if reason not in self._warned:
            self._warned.add(reason)
            warnings.warn(f"{self!r} runs as it is, not compiled: {reason}", UserWarning, stacklevel=4)

    # -- what can be seen ------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget what was recorded."""
        with self._lock:
            self._known.clear()
            self._of_examples.clear()
            self._last = self._short = None
            self._shorts = ()

    @property
    def graph(self) -> Any:
        """The graph of the path that served the last call.

        Raises
        ------
        RuntimeError
            Before the first call.
        """
        return self._shown().recording.graph

    @property
    def ir(self) -> str:
        """The LLVM IR of the path that served the last call; of its backward pass, too, once there was one."""
        return "\n".join([p.ir for p in self._native_plans()])

    @property
    def asm(self) -> str:
        """The assembly of that code."""
        return "\n".join([p.asm for p in self._native_plans()])

    @property
    def timings(self) -> dict[str, float]:
        """Seconds that each stage took for that path: "record" is the call that was recorded, the others made its plan.

        Those of the backward pass stand beside them, once there was one, with "backward " before their names.
        """
        path = self._shown()
        found = dict(path.joint.timings)
        for word, plan in path.plans().items():
            found.update({f"{word}{stage}": t for stage, t in getattr(plan, "timings", {}).items()})
        return found

    def _native_plans(self) -> list:
        plans = list(self._shown().plans().values())
        if not hasattr(plans[0], "ir"):
            raise RuntimeError(f"{self!r} runs op by op on NumPy: there is no code")
        return plans

    def _shown(self) -> Path:
        if self._last is None:
            raise RuntimeError(f"{self!r} has not been called yet: what it does is recorded at the first call")
        return self._last


AGAIN: Any = object()  # the result of a call that is to be run as it is


def _carries(t: Tensor) -> bool:
    return t._level > 0 or t._node is not None


def _stripped(leaves: list) -> list:
    """Return plain leaves with the values of tensors of any level, which require grad where these do.

    Tensors of different derivatives may have one array for their values: each gets its own.
    """
    made: dict[int, Tensor] = {}
    arrays: set[int] = set()
    for x in leaves:
        if isinstance(x, Tensor) and id(x) not in made:
            data = bottom(x)
            made[id(x)] = t = wrap(data.copy() if id(data) in arrays else data)
            arrays.add(id(data))
            t._meta = None
            if x.requires_grad:
                t._node = LEAF
    return [made.get(id(x), x) for x in leaves]


def _flat(f: Callable, spec: TreeSpec, leaves: list) -> Any:
    """Call a function with flattened arguments."""
    args, kwargs = tree_unflatten(leaves, spec)
    return f(*args, **kwargs)


def _stands_aside(mode: Mode) -> bool:
    """Tell whether a call is to run the function itself: inside of another recording, or where something looks at its ops."""
    return bool(
        mode.tracer is not None
        or mode.watchers
        or mode.watched
        or mode.asked
        or mode.safe
        or mode.inference
        or mode.draws is not None
        or mode.on_write is not None
        or STATE.off
        or STATE.stance == "force_eager"
    )

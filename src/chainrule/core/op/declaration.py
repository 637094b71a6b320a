"""Op, its four constructors and the op table.

An op is declared once: its signature, its kernel on NumPy arrays, and the derivative map of each input. The
parameter names of a rule say what it needs, and so what is saved; they are read here, at import, and an unknown
name raises. How an op is dispatched and recorded is `core.dispatch`'s; how its rules are used is the transforms'.

Rules are written with the library's own ops (`chainrule.ops`) and with operators, so that the same text runs on raw
arrays and on tensors.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from opcode import opmap
from types import FunctionType
from typing import Any

from chainrule.core.op.lowering import Expression, lowering_of
from chainrule.core.op.native import NATIVE, in_one_pass
from chainrule.core.op.raw import raw_copy
from chainrule.core.op.reach import reach_of
from chainrule.core.op.results import PROMOTIONS, Inference, broadcasting, joined

ELEMENTWISE, LINEAR, BILINEAR, GENERAL = "elementwise", "linear", "bilinear", "op"
TABLE: dict[str, Op] = {}
MAKERS: list[Callable[[Op], Callable]] = []  # what makes an op's function of it: `core.call.functions` puts it here
PUBLISHERS: list[Callable[[Op], None]] = []  # told of each op that is declared: `functions.adapt` makes the public ones so

IN, SHAPE, OUT, DOT, NEEDS = "in", "shape", "out", "dot", "needs"
_WORK = ("BINARY_OP", "CALL", "CALL_KW", "CALL_FUNCTION_EX", "COMPARE_OP", "UNARY_INVERT", "UNARY_NEGATIVE")
_OPERATIONS = {opmap.get(name) for name in _WORK}


class Rule:
    """A derivative rule and where its arguments come from.

    Attributes
    ----------
    f : callable
        What the declaration gave.
    sources : tuple of (kind, index)
        For each argument after the (co)tangent: an input, an input's shape, the result, an input's tangent; to which inputs
        a joint rule is to pull.
    params : tuple of str or None
        The static parameters it takes; None means all of the op's.
    """

    __slots__ = ("_raw", "f", "params", "sources")

    def __init__(self, op: Op, f: Callable, leading: int):
        code = f.__code__
        names = code.co_varnames[leading : code.co_argcount]
        keywords = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
        sources: list[tuple[str, int]] = []
        for name in names:
            if name in op.inputs:
                sources.append((IN, op.inputs.index(name)))
            elif name == "out":
                sources.append((OUT, 0))
            elif name.endswith("_shape") and name[:-6] in op.inputs:
                sources.append((SHAPE, op.inputs.index(name[:-6])))
            elif name.endswith("_dot") and name[:-4] in op.inputs:
                sources.append((DOT, op.inputs.index(name[:-4])))
            elif name == "needs" and op.joint and leading:
                sources.append((NEEDS, 0))
            else:
                raise TypeError(
                    f"{op.name}: a rule asks for {name!r}; a rule may ask for the inputs {op.inputs}, 'out', an input's "
                    "shape as '<input>_shape' (in a jvp, an input's tangent as '<input>_dot'), and keyword-only "
                    f"{op.params}"
                )
        if keywords and (unknown := [k for k in keywords if k not in op.params]):
            raise TypeError(f"{op.name}: a rule asks for parameters {unknown}; the op has {op.params}")
        self.f = f
        self._raw: Callable | None = None
        self.sources = tuple(sources)
        self.params = None if keywords == op.params else keywords

    @property
    def raw(self) -> Callable:
        """The rule for raw arrays alone (see ``core.raw``)."""
        if self._raw is None:
            self._raw = raw_copy(self.f)
        return self._raw

    def __call__(self, g: tuple, inputs: Sequence, shapes: Any, out: Any, dots: Any, params: dict, raw: bool = False) -> Any:
        """Call the rule; `g` holds the leading arguments; `raw` if all values are raw arrays."""
        f = self.f
        if raw:
            f = self._raw or self.raw
        args = [
            inputs[i] if kind is IN else out if kind is OUT else shapes[i] if kind is SHAPE else dots[i]
            for kind, i in self.sources
        ]
        if self.params is not None:
            params = {k: params[k] for k in self.params}
        if raw and g and getattr(g[0], "size", 0) >= NATIVE and self.is_several:
            f = in_one_pass(self.f, f)
        return f(*g, *args, **params)

    def uses(self, kind: str, index: int = 0) -> bool:
        """Tell whether the rule asks for this value."""
        return (kind, index) in self.sources

    @property
    def is_several(self) -> bool:
        """Whether the rule has more than one operation, or one that may be worth native code."""
        space, code = self.f.__globals__, self.f.__code__
        called = [space[name] for name in code.co_names if name in space]
        composed = [f for f in called if f.__class__ is FunctionType and (not hasattr(f, "op") or f.op.backend.native)]
        return bool(composed) or _is_several(self.f)


def _is_several(f: Callable) -> bool:
    """Tell whether a Python function's text has more than one operation."""
    return f.__class__ is FunctionType and len([c for c in f.__code__.co_code[::2] if c in _OPERATIONS]) > 1


class Backend:
    """How an op is computed, which its declaration leaves open.

    Attributes
    ----------
    kernel : callable
        The forward computation on NumPy arrays: positional inputs, keyword parameters.
    calm : bool
        The kernel raises floating point flags only on infinities and overflow, so the fast path runs it without the 100
        to 250 ns that silencing NumPy costs; a warning that is an error there is caught, and the slow path is silent.
    costly : bool
        The kernel computes much per element and takes ``out=``, so large arrays are split over threads.
    native : bool
        Native code is asked for the kernel's work on large arrays (``core.op.native``): by default, of an elementwise op that
        has an expression, where the kernel is costly, or a Python function of several operations.
    """

    __slots__ = ("calm", "costly", "kernel", "native")

    def __init__(self, kernel: Callable, *, calm: bool = False, costly: bool = False, native: bool | None = None):
        self.kernel, self.calm, self.costly = kernel, calm, costly
        self.native = costly or _is_several(kernel) if native is None else native


class About:
    """What readers and tests are told of an op.

    Attributes
    ----------
    doc : str
        Its docstring.
    samples : callable or None
        Returns the calls to try, a list of `Sample`.
    domain : interval, list of them, or None
        Where samples are drawn.
    reference : callable or None
        Another way to compute it, independent of the kernel.
    home : str
        The module that declares it.
    """

    __slots__ = ("doc", "domain", "home", "reference", "samples")

    def __init__(
        self,
        *,
        doc: str = "",
        samples: Callable | None = None,
        domain: Any = None,
        reference: Callable | None = None,
        home: str = "",
    ):
        self.doc, self.samples, self.domain, self.reference, self.home = doc, samples, domain, reference, home


class Op:
    """One declared primitive: its mathematics. How it is computed is its `backend`'s, what tests try is in `about`.

    Attributes
    ----------
    name, kind : str
        The name in its signature; one of ``elementwise``, ``linear``, ``bilinear``, ``op``.
    inputs, params : tuple of str
        Names of the array inputs and of the static parameters. `variadic` ops take any number of arrays as the first.
    rules : tuple of Rule or None
        Per input, the derivative map; None where the op is not differentiable in that input.
    joint : bool
        All inputs have one rule, which gives a list of their cotangents: that of a variadic op, or `pull`.
    jvp : Rule or None
        For a general op, its forward rule.
    view : bool
        The result is a view of the first input: it shares its memory, and writes to either reach both.
    bit : callable or None
        Of a view: (bit of the memory) → the bit of the result, where that is another one (see ``core.tensor.unresolved``), or
        None where the op needs the values themselves.
    stored : callable
        Of a view: the kernel on memory; the kernel itself, except where that computes the values that the bit stands for.
    computes : bool
        Whether it does, so that a view of a tensor is none of an array.
    reads : tuple of int or None
        Of several results, those that the rules of reverse mode read: the others are not kept. None for all.
    shares : bool
        A result may lie in the first input's memory without being a view of it; whoever saved one finds writes to the other.
    selects : str or None
        What a view shows: "all" elements of the input, each once, in another order or shape; a "part" of them; or "parts", one
        for each result. Its cotangent need then not be made whole (see ``core.record.placed``). None if an element may stand in
        several places, or is converted.
    pure : bool
        It gives the same result for the same inputs, and changes nothing: random draws are not pure.
    refuses : str
        The NumPy kinds of the (first) result for which the kernel may raise, or warn, because of values, of operands whose
        shapes and dtypes fit: a call is then no dead code. Empty if it takes all values; True in a declaration: for all kinds.
    lowering : Expression, Expansion or Opaque
        What a compiler may put in place of the kernel (see ``core.op.lowering``).
    real_linear : bool
        A linear op whose rule is the adjoint over the reals (conj, real part), so it is used without conjugation.
    kinds : str
        The NumPy kinds that the op computes in: any of "b", "i", "f", "c"; integers count as "f" for "float" ops.
    shape, dtype : Inference or None
        The result's, from the inputs' and the parameters (see ``core.results``); an elementwise op's shape follows from
        broadcasting. None only in an op of a user's, which then cannot be traced without values.
    promotion : str
        What becomes of an elementwise op's operands: they are brought to one dtype ("same", "bool"), that is to be floating
        ("float": integers become the default dtype), or left as they are ("free").
    batch : callable or None
        How the op runs with a batch axis in front (see ``core.op.batching``); an elementwise op needs none.
    check : callable or None
        Called with the arguments of an elementwise op before promotion; raises for dtypes that PyTorch refuses. Not on
        the fast path: the kernel must refuse those dtypes itself, or give another dtype than it was given.
    public : tuple of str
        The names under which users have an elementwise op as a function and method, and, if `inplace`, as an in-place method;
        those in a namespace, as ``special.ndtr``, are functions alone.
    second : str
        The keyword under which they give its second operand.
    reach : callable
        Which elements of a result an element of an input can reach (see ``core.op.reach``).
    scales : bool
        An elementwise op is its first operand times what the others give: ``f(g, …) = g · f(1, …)``.
    backend, about : Backend, About
        The kernel and its cost; the docstring, the samples.
    call : callable
        The function that the rule book exports: raw arrays in, raw array out; tensors in, tensor out.
    """

    __slots__ = (
        "_node_name", "about", "backend", "batch", "bit", "call", "check", "computes", "dtype", "inplace", "inputs",
        "joint", "jvp", "kind", "kinds", "lowering", "name", "nondiff", "params", "plans", "promotion", "public",
        "pure", "reach", "reads", "real_linear", "refuses", "rules", "scales", "second", "selects", "shape", "shares", "stored",
        "variadic", "view",
    )  # fmt: skip
    call: Callable

    def __init__(
        self,
        kind: str,
        signature: str,
        backend: Backend,
        rules: dict[str, Callable] | None = None,
        about: About | None = None,
        *,
        jvp: Callable | None = None,
        pull: Callable | None = None,
        shape: Callable | None = None,
        node: str | Callable | None = None,
        view: bool = False,
        bit: Callable | None = None,
        stored: Callable | None = None,
        reads: tuple[int, ...] | None = None,
        shares: bool = False,
        selects: str | None = None,
        pure: bool = True,
        refuses: bool | str = False,
        lower: Any = None,
        real_linear: bool = False,
        nondiff: bool = False,
        dtype: str | Callable | None = None,
        promotion: str | None = None,
        kinds: str = "fc",
        check: Callable | None = None,
        batch: Callable | None = None,
        reach: Callable | dict[str, Callable] | None = None,
        public: bool | str = False,
        inplace: bool = False,
        aliases: tuple[str, ...] = (),
        second: str = "other",
        scales: bool = False,
    ):
        self.name, self.inputs, self.params, self.variadic = _parts(signature)
        self.kind, self.backend, self.about = kind, backend, about or About()
        rules = rules or {}
        unknown = [name for name in rules if name not in self.inputs]
        if unknown:
            raise TypeError(f"{self.name}: rules for {unknown}, but its inputs are {self.inputs}")
        self.joint = self.variadic or pull is not None
        self.rules = tuple([Rule(self, rules[name], 1) if name in rules else None for name in self.inputs])
        if pull is not None:
            if rules:
                raise TypeError(f"{self.name}: rules for {list(rules)}, beside one for all inputs")
            self.rules = (Rule(self, pull, 1),) * len(self.inputs)
        self.jvp = None if jvp is None else Rule(self, jvp, 0)
        self.view, self.kinds, self.batch = view, kinds, batch
        self.bit, self.stored, self.computes = bit, stored or backend.kernel, stored is not None
        self.reads, self.shares, self.selects, self.pure = reads, shares, selects, pure
        self.refuses = refuses if refuses.__class__ is str else "biufcV" if refuses else ""
        home = f"{public}." if public.__class__ is str else ""
        self.public, self.inplace = (*((home + self.name,) if public else ()), *[home + name for name in aliases]), inplace
        self.second, self.scales = second, scales
        if self.public and kind != ELEMENTWISE:
            raise TypeError(f"{self.name}: only elementwise ops are public by an option; write its public function out")
        self.lowering = lowering_of(lower, backend.kernel, kind == ELEMENTWISE, batch)
        backend.native = backend.native and self.lowering.__class__ is Expression
        self._infer(shape, dtype, promotion)
        self.reach = reach_of(reach, self)
        self.real_linear = real_linear or (kind == ELEMENTWISE and jvp is not None)
        self.nondiff, self.check = nondiff, check
        if nondiff and (rules or jvp):
            raise TypeError(f"{self.name} is declared nondiff and has rules")
        self._node_name = node
        self.plans: dict[tuple, Any] = {}

    @property
    def aliasing(self) -> str | None:
        """What the result has to do with the first input's memory: "view", "maybe" if it may share it, or None."""
        if self.computes:
            return None
        return "view" if self.view else "maybe" if self.shares else None

    def _infer(self, shape: Callable | None, dtype: str | Callable | None, promotion: str | None) -> None:
        """Take the rules of the result's shape and dtype, or derive them from the kind of op."""
        if self.kind == ELEMENTWISE:
            shape, dtype = shape or broadcasting, dtype or "same"
            promotion = promotion or (dtype if dtype.__class__ is str else "same")  # type: ignore[assignment]
        elif dtype is None and self.kind != GENERAL:
            dtype = _joining(None if self.variadic else [i for i, rule in enumerate(self.rules) if rule is not None])
        if dtype.__class__ is str:
            dtype = PROMOTIONS[dtype]  # type: ignore[index]
        self.promotion = promotion or "free"
        self.shape = None if shape is None else Inference(shape, self.params)
        self.dtype = None if dtype is None else Inference(dtype, self.params)  # type: ignore[arg-type]

    def result(self, shapes: list, dtypes: list, params: dict) -> Any:
        """Return (shape, NumPy dtype) of the result; a list of them for an op of several results.

        Parameters
        ----------
        shapes, dtypes : list
            Of the inputs, as ``core.results`` describes them.
        params : dict
            The static parameters.

        Raises
        ------
        TypeError
            If the declaration does not say.
        """
        if self.shape is None or self.dtype is None:
            lacks = " and ".join([name for name in ("shape", "dtype") if getattr(self, name) is None])
            raise TypeError(f"{self.name}: its declaration has no rule for the result's {lacks}: give it {lacks.split()[0]}=")
        shape, dtype = self.shape(shapes, params), self.dtype(dtypes, params)
        if shape.__class__ is not list:
            return shape, dtype
        return list(zip(shape, dtype if dtype.__class__ is list else [dtype] * len(shape), strict=True))

    @property
    def kernel(self) -> Callable:
        """The forward computation on NumPy arrays; the backend's."""
        return self.backend.kernel

    @property
    def is_differentiable(self) -> bool:
        """Whether the op has a derivative in any input."""
        return any(self.rules)

    def node_name(self, node: Any) -> str:
        """Return the name of a recorded node, PyTorch's where PyTorch has the op."""
        name = self._node_name
        if name is None:
            camel = "".join(word.capitalize() for word in self.name.strip("_").split("_"))
            name = self._node_name = camel + "0" if camel[-1:].isdigit() else camel
        base = name(node) if callable(name) else name
        if base[-1] == "!":  # the whole name: PyTorch's few that do not end in Backward and a digit
            return base[:-1]
        return f"{base}Backward0" if not base[-1].isdigit() else f"{base[:-1]}Backward{base[-1]}"

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}({', '.join(self.inputs)}{', *, ' if self.params else ''}{', '.join(self.params)})>"


def _parts(signature: str) -> tuple[str, tuple[str, ...], tuple[str, ...], bool]:
    """Return the name, the inputs, the static parameters that a signature names, and whether it takes any number of inputs."""
    name, bracket, rest = signature.partition("(")
    if not (name.isidentifier() and bracket and rest.find(")") == len(rest) - 1):
        raise TypeError(f"an op's signature reads 'name(x, y, *, param)', not {signature!r}")
    inputs: list[str] = []
    params: list[str] = []
    names, variadic = inputs, False
    for part in rest[:-1].split(","):
        part = part.strip()
        if part[:1] == "*":
            if len(part) > 1:
                variadic = True
                inputs.append(part[1:])
            names = params
        elif part:
            names.append(part)
    return name, tuple(inputs), tuple(params), variadic


def _joining(places: list[int] | None) -> Callable:
    """Return the dtype rule of a map that is linear in the inputs at some places: NumPy's dtype of them together."""
    if places is None:
        return joined
    return lambda *given: joined(*[given[i] for i in places])


# What of a declaration is told by which name; all others are inputs, whose rules they give.
_PART = dict.fromkeys(("calm", "costly", "native"), "backend") | dict.fromkeys(About.__slots__, "about") | dict.fromkeys((
    "aliases", "batch", "bit", "check", "dtype", "inplace", "kinds", "lower", "node", "nondiff", "promotion",
    "public", "pull", "pure", "reach", "reads", "real_linear", "refuses", "scales", "second", "selects", "shape", "shares",
    "stored", "view",
), "option")  # fmt: skip


def _declare(kind: str, signature: str, kernel: Callable, jvp: Callable | None, given: dict[str, Any]) -> Callable:
    parts: dict[str, dict[str, Any]] = {"backend": {}, "about": {}, "option": {}, "rule": {}}
    for name, value in given.items():
        parts[_PART.get(name, "rule")][name] = value
    parts["about"]["home"] = sys._getframe(2).f_globals["__name__"]
    made = Op(
        kind, signature, Backend(kernel, **parts["backend"]), parts["rule"], About(**parts["about"]), jvp=jvp, **parts["option"]
    )
    if made.name in TABLE:
        raise TypeError(f"the op {made.name} is declared twice")
    TABLE[made.name] = made
    (make_call,) = MAKERS
    made.call = make_call(made)
    made.call.op = made  # type: ignore[attr-defined]
    for publish in PUBLISHERS:
        publish(made)
    return made.call


def elementwise(signature: str, kernel: Callable, *, jvp: Callable | None = None, **rules_and_options: Any) -> Callable:
    """Declare an op that maps elements to elements with broadcasting.

    Parameters
    ----------
    signature : str
        Such as ``"mul(x, y)"``; names after ``*`` are static parameters.
    kernel : callable
        A NumPy ufunc, or an operator (several times faster than a ufunc on NumPy scalars).
    **rules_and_options
        For each differentiable input one map ``lambda g, <needed>: …`` that multiplies a (co)tangent by the partial
        derivative. jvp is the sum of the maps, vjp is each map followed by the un-broadcast; for complex values vjp is
        the conjugate of the map of the conjugate. A map that is not complex-linear (abs) gives its `jvp` too, and its
        rule is then the adjoint. Options: `kinds` ("f", "fc": real and complex), `dtype`, `domain` (an open interval,
        or one per input, from which tests draw), `samples`, `node`, `reference`, `nondiff`, `doc`; `public`, `inplace` and
        `aliases` make a public function of it, a method, an in-place method, and other names for them; ``public="special"``
        a function of that namespace, and no method.

    Returns
    -------
    callable
        The op as a function for rules: raw arrays in, raw array out; tensors in, tensor out.
    """
    return _declare(ELEMENTWISE, signature, kernel, jvp, rules_and_options)


def linear(signature: str, kernel: Callable, **rule_and_options: Any) -> Callable:
    """Declare an op that is linear in its array inputs together.

    The rule of each input is the transposed map (without conjugation, unless ``real_linear=True``: then the adjoint
    over the reals). jvp is the op itself. A variadic op has one rule, which returns one cotangent per input.
    """
    return _declare(LINEAR, signature, kernel, None, rule_and_options)


def bilinear(signature: str, kernel: Callable, **rules_and_options: Any) -> Callable:
    """Declare an op that is linear in each of two inputs; the rules are the two transposed maps."""
    return _declare(BILINEAR, signature, kernel, None, rules_and_options)


def op(signature: str, kernel: Callable, *, jvp: Callable | None = None, **rules_and_options: Any) -> Callable:
    """Declare a general op by its jvp and its vjp in each input.

    `jvp` takes tangents as ``<input>_dot`` (None where absent), inputs, `out` and parameters, and returns the tangent
    of the result (a tuple for several results, None where a result has none). A rule takes the cotangent of the
    result (a list for several, None where absent) and is used as it is: it conjugates where it must. Where the inputs'
    cotangents have most of their work in common, `pull` gives them all: one rule for all inputs, which returns a list; it
    may ask which of them are wanted as `needs`, a tuple of bool, and return None for others.
    """
    return _declare(GENERAL, signature, kernel, jvp, rules_and_options)

"""How the arguments of a call were written: read from the source where there is one, else from the bytecode.

A REPL, ``python -c`` and `exec` leave no source. The bytecode that led to a call still says of which names, attributes and
items its arguments were taken. It is read backwards from the call, each instruction by what `dis` calls it and says that it
does to the stack, so that one reader does for Python 3.11 to 3.14. Nothing of the program is run or looked up here.
"""

from __future__ import annotations

import ast
import dis
import linecache
from collections.abc import Iterable
from typing import Any, NamedTuple

_NAMES = frozenset(
    ("LOAD_NAME", "LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK", "LOAD_GLOBAL", "LOAD_DEREF", "LOAD_CLASSDEREF")
)
_CONSTANTS = frozenset(("LOAD_CONST", "LOAD_SMALL_INT"))
_PAIRS = frozenset(("LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW"))
_IGNORED = frozenset(("EXTENDED_ARG", "CACHE", "NOP", "NOT_TAKEN"))
_CALLS = frozenset(("CALL", "CALL_KW"))


class Written(NamedTuple):
    """How a call's arguments were written.

    Attributes
    ----------
    positional : list of ast.expr or None
        None for what is no name, attribute or item, where only the bytecode tells.
    keywords : dict of str to ast.expr or None
    """

    positional: list[ast.expr | None]
    keywords: dict[str, ast.expr | None]


def written(frame: Any) -> Written:
    """Return how the arguments of the call that a frame is in were written; none where that cannot be read."""
    return _in_source(frame) or in_bytecode(steps_to(frame.f_code, frame.f_lasti)) or Written([], {})


def _in_source(frame: Any) -> Written | None:
    """Read the call in the source, at the positions that the compiler noted."""
    code = frame.f_code
    positions = list(code.co_positions())
    i = frame.f_lasti // 2
    if i >= len(positions) or None in positions[i]:
        return None
    line, end_line, start, end = positions[i]
    lines = [linecache.getline(code.co_filename, n, frame.f_globals) for n in range(line, end_line + 1)]
    if not lines or not lines[0]:
        return None
    encoded = [text.encode() for text in lines]
    encoded[-1] = encoded[-1][:end]
    encoded[0] = encoded[0][start:]
    try:
        node = ast.parse(b"".join(encoded).decode().strip(), mode="eval").body
    except (SyntaxError, ValueError):  # the file is another by now
        return None
    if not isinstance(node, ast.Call):
        return None
    return Written([a for a in node.args if not isinstance(a, ast.Starred)], {k.arg: k.value for k in node.keywords if k.arg})


class Step(NamedTuple):
    """One instruction: its name, what it is about, by how much the stack grows, whether a jump leads to it, or it jumps."""

    name: str
    value: Any
    effect: int
    is_target: bool = False
    jumps: bool = False


def steps_to(code: Any, last: int) -> list[Step]:
    """Return the instructions of a code object, up to the one at an offset."""
    found: list[Step] = []
    is_target = False
    for each in dis.get_instructions(code):
        if each.offset > last:
            break
        is_target |= each.is_jump_target
        if each.opname in _IGNORED:
            continue
        found += _split(each, code, is_target)
        is_target = False
    return found


def _split(each: dis.Instruction, code: Any, is_target: bool) -> Iterable[Step]:
    name, value = each.opname, each.argval
    if name in _PAIRS:
        return Step("LOAD_FAST", value[0], 1, is_target), Step("LOAD_FAST", value[1], 1)
    if name == "STORE_FAST_LOAD_FAST":
        return Step("STORE_FAST", value[0], -1, is_target), Step("LOAD_FAST", value[1], 1)
    if name == "BINARY_OP" and each.argrepr == "[]":
        name = "BINARY_SUBSCR"
    if name == "KW_NAMES":
        value = code.co_consts[each.arg or 0]
    effect = dis.stack_effect(each.opcode, each.arg, jump=False)
    return (Step(name, value, effect, is_target, each.opcode in dis.hasjrel or each.opcode in dis.hasjabs),)


class _UnreadableError(Exception):
    """Ways of the program join in the midst of the arguments."""


class _Backwards:
    """Reads expressions from the last instruction of a list to earlier ones."""

    def __init__(self, steps: list[Step]):
        self.steps = steps
        self.joins = False  # whether a jump leads to the instruction after those left

    def take(self) -> Step:
        """Return the last instruction that is left, and take it away."""
        if self.joins or not self.steps or self.steps[-1].jumps:
            raise _UnreadableError
        step = self.steps.pop()
        self.joins = step.is_target
        return step

    def take_if(self, name: str) -> Step | None:
        """Do so if it has a name."""
        return self.take() if self.steps and self.steps[-1].name == name else None

    def expression(self) -> ast.expr | None:
        """Take what pushed one value; return it if it is made of names, constants, attributes and items."""
        step = self.take()
        if step.effect == 1 and step.name in _NAMES:
            return ast.Name(step.value)
        if step.name in _CONSTANTS:
            return ast.Constant(step.value)
        if step.effect == 0 and step.name == "LOAD_ATTR":
            owner = self.expression()
            return None if owner is None else ast.Attribute(owner, step.value)
        if step.name == "BINARY_SUBSCR":
            index, held = self.expression(), self.expression()
            return None if index is None or held is None else ast.Subscript(held, index)
        wanted = 1 - step.effect
        while wanted > 0:
            wanted -= self.take().effect
        return None


def in_bytecode(steps: list[Step]) -> Written | None:
    """Read the call that is the last of some instructions."""
    if not steps or steps[-1].name not in _CALLS:
        return None
    reader = _Backwards(list(steps))
    try:
        call = reader.take()
        reader.take_if("PRECALL")
        names = reader.take() if call.name == "CALL_KW" else reader.take_if("KW_NAMES")
        found = [reader.expression() for _ in range(call.value)][::-1]
    except _UnreadableError:
        return None
    keywords = () if names is None else names.value
    count = len(found) - len(keywords)
    return Written(found[:count], dict(zip(keywords, found[count:], strict=True)))

"""Folding: a tree of blocks over a graph's items, in which no block has many members, so that a page can show any graph.

Blocks are, in this order: what a module recorded, or a function of the user's; repetitions of the same ops; and runs of
consecutive items, where there is nothing better to go by. Each block's ops are consecutive in the order in which they were
made, so that drawing blocks as nodes never makes a cycle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.visualization.recorded import Item

MOST = 24  # members that a block shows when it is opened
_PERIODS = 2048  # the longest repetition that is looked for
_FEW = 3  # repetitions


class Block:
    """A part of the graph that can be folded.

    Attributes
    ----------
    name : str
        What it is called.
    members : list of (Item or Block)
        What is in it, in order.
    path : str
        Dotted name of the module or function that it is; empty for other blocks.
    kind : str
        Name of the module's class.
    """

    __slots__ = ("kind", "members", "name", "path")

    def __init__(self, name: str, members: list, path: str = "", kind: str = ""):
        self.name, self.members, self.path, self.kind = name, members, path, kind

    def items(self) -> list[Item]:
        """Return all items in it, at any depth."""
        found: list[Item] = []
        stack: list[Any] = [self]
        while stack:
            top = stack.pop()
            if isinstance(top, Block):
                stack.extend(reversed(top.members))
            else:
                found.append(top)
        return found


Scope = tuple[str, ...]


def folded(items: Sequence[Item], scopes: Sequence[Scope], label: Callable[[Item], str], kinds: Mapping[str, str]) -> Block:
    """Return the tree of blocks of a graph.

    Parameters
    ----------
    items : sequence of Item
        All of the graph, each behind its inputs.
    scopes : sequence of tuple of str
        Of each item, outermost first: the modules or functions in which it was made. Leaves' are not looked at: a leaf stands
        in the innermost block that has all that use it.
    label : callable
        Gives what must be equal of two items for one to repeat the other.
    kinds : mapping
        Dotted name of a module → name of its class.
    """
    made = [item for item in items if not item.is_leaf]
    root = Block("", _nested(made, scopes, 0, kinds))
    labels = {item.index: label(item) for item in made}
    _shorten(root, labels)
    _place_leaves(root, items)
    return root


def _nested(items: list[Item], scopes: Sequence[Scope], depth: int, kinds: Mapping[str, str]) -> list:
    """Return items with runs of the same scope as blocks."""
    members: list = []
    start = 0
    while start < len(items):
        scope = scopes[items[start].index]
        if len(scope) <= depth:
            members.append(items[start])
            start += 1
            continue
        end = start + 1
        while end < len(items) and scopes[items[end].index][depth : depth + 1] == scope[depth : depth + 1]:
            end += 1
        inner = _nested(items[start:end], scopes, depth + 1, kinds)
        path = ".".join(scope[: depth + 1])
        if len(inner) == 1 and isinstance(inner[0], Block):  # a scope with another alone in it: one block, of both names
            only = inner[0]
            members.append(Block(f"{scope[depth]}.{only.name}", only.members, only.path, only.kind))
        elif len(inner) == 1:
            members += inner
        else:
            members.append(Block(scope[depth], inner, path, kinds.get(path, "")))
        start = end
    return members


def _shorten(root: Block, labels: dict[int, str]) -> None:
    """Have no block show more than `MOST` members: fold repetitions in it, and what is left in runs."""
    stack = [root]
    while stack:
        block = stack.pop()
        if len(block.members) > MOST:
            block.members = _repeated(block.members, labels)
        if len(block.members) > MOST:
            block.members = _runs(block.members)
        stack += [member for member in block.members if isinstance(member, Block)]


def _repeated(members: list, labels: dict[int, str]) -> list:
    """Return members with the longest repetition in them as one block, and so on before and behind it."""
    signs = [_sign(member, labels) for member in members]
    found = _longest_repetition(signs)
    if found is None:
        return members
    start, period, count = found
    end = start + period * count
    each = [members[i : i + period] for i in range(start, end, period)]
    rounds = [part[0] if period == 1 else Block(_round(part, i), part) for i, part in enumerate(each)]
    what = _summary([getattr(member, "kind", "") or _name(member) for member in each[0]])
    block = Block(f"{count:,} × {what}", rounds)
    if len(members) == end - start:
        return rounds if len(rounds) <= MOST else _runs(rounds)
    return [*_repeated(members[:start], labels), block, *_repeated(members[end:], labels)]


def _longest_repetition(signs: list) -> tuple[int, int, int] | None:
    """Return (start, period, count) of the repetition that covers most, of the shortest period; None where there is none."""
    numbers: dict[Any, int] = {}
    s = np.array([numbers.setdefault(sign, len(numbers)) for sign in signs], np.int64)
    best, found = 0, None
    for period in range(1, min(len(s) // _FEW, _PERIODS) + 1):
        equal = s[period:] == s[:-period]
        if np.count_nonzero(equal) + period <= best:
            continue
        breaks = np.flatnonzero(~equal)
        edges = np.concatenate(([-1], breaks, [len(equal)]))
        lengths = np.diff(edges) - 1
        k = int(lengths.argmax())
        count = (int(lengths[k]) + period) // period
        if count >= _FEW and count * period > best and count * period >= 2 * _FEW:
            best, found = count * period, (int(edges[k]) + 1, period, count)
    return found


def _sign(member: Any, labels: dict[int, str]) -> Any:
    """Return what two members must have in common for one to repeat the other."""
    if isinstance(member, Block):
        return tuple([labels[item.index] for item in member.items()])
    return labels[member.index]


def _round(part: list, i: int) -> str:
    """Return what one of several repetitions is called: as the one module in it, or by its number."""
    modules = [member.path for member in part if isinstance(member, Block) and member.path]
    return modules[0] if len(modules) == 1 else f"round {i + 1:,}"


def _runs(members: list) -> list:
    """Return members in blocks of consecutive ones, alike in size, none of which shows more than `MOST`."""
    depth = math.ceil(math.log(max(len(members), 2), MOST))
    size = math.ceil(len(members) ** (1 / depth))
    while len(members) > MOST:
        parts = [members[i : i + size] for i in range(0, len(members), size)]
        members = [part[0] if len(part) == 1 else Block(_span(part), part) for part in parts]
    return members


def _span(part: list) -> str:
    first, last = _name(part[0]), _name(part[-1])
    if first.startswith("round") and last.startswith("round"):
        return f"rounds {first.split()[1].split('–')[0]}–{last.split()[1].split('–')[-1]}"
    return f"{first.split(' … ')[0]} … {last.split(' … ')[-1]}"


def _summary(names: list[str]) -> str:
    shown = names if len(names) <= 3 else [*names[:2], "…", names[-1]]
    return ", ".join(shown)


def _name(member: Any) -> str:
    if isinstance(member, Block):
        return member.path if member.kind else member.name
    op = member.op
    return member.source.name() if op is None else op.name


def _place_leaves(root: Block, items: Sequence[Item]) -> None:
    """Put each leaf into the innermost block that has all that use it, before the first of them."""
    where: dict[int, tuple[Block, ...]] = {}
    stack: list[tuple[Block, tuple[Block, ...]]] = [(root, (root,))]
    while stack:
        block, above = stack.pop()
        for member in block.members:
            if isinstance(member, Block):
                stack.append((member, (*above, member)))
            else:
                where[member.index] = above
    homes: dict[int, tuple[Block, ...]] = {}
    firsts: dict[int, Item] = {}
    for item in items:
        for given in item.inputs:
            if given is not None and given[0].is_leaf:
                leaf, above = given[0].index, where[item.index]
                before = homes.get(leaf)
                homes[leaf] = above if before is None else beginning(before, above)
                firsts.setdefault(leaf, item)
    added: dict[int, list] = {}
    for item in items:
        if item.is_leaf:
            home = homes.get(item.index, (root,))
            first = firsts.get(item.index)
            inner = [] if first is None else where[first.index][len(home) :]
            mark = inner[0] if inner else first
            added.setdefault(id(home[-1]), []).append((mark, item))
    stack = [(root, (root,))]
    while stack:
        block, above = stack.pop()
        stack += [(member, above) for member in block.members if isinstance(member, Block)]
        before_of: dict[int, list] = {}
        for mark, leaf in added.get(id(block), ()):
            before_of.setdefault(id(mark), []).append(leaf)
        block.members = [x for member in block.members for x in (*before_of.get(id(member), ()), member)]
        block.members += before_of.get(id(None), [])


def scopes_by_parameters(items: Sequence[Item], module_of: Callable[[Item], Scope | None]) -> list[Scope]:
    """Return the scope of each item as its parameters tell it.

    An op that uses a parameter of a module is that module's. One that uses none is of all the modules that the ops before and
    behind it have in common: an activation between two layers of a block is the block's.

    Parameters
    ----------
    items : sequence of Item
        All of the graph, in order.
    module_of : callable
        Gives the module of a leaf as a path of names; None of one that is no parameter.
    """
    scopes: list[Scope] = [()] * len(items)
    before: Scope | None = None
    waiting: list[Item] = []
    for item in items:
        if item.is_leaf:
            continue
        given = [module_of(source) for source, _ in filter(None, item.inputs) if source.is_leaf]
        owners = [owner for owner in given if owner is not None]
        if not owners:
            waiting.append(item)
            continue
        scope = owners[0]
        for owner in owners[1:]:
            scope = beginning(scope, owner)
        between = () if before is None else beginning(before, scope)
        for other in waiting:
            scopes[other.index] = between
        scopes[item.index], before, waiting = scope, scope, []
    return scopes


def beginning(a: tuple, b: tuple) -> tuple:
    """Return the longest beginning that two tuples have in common."""
    n = 0
    while n < len(a) and n < len(b) and a[n] == b[n]:
        n += 1
    return a[:n]

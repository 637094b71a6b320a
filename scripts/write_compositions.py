"""Write ``docs/compositions.md``: of every op and public function, which laws hold, and of what is not checked, why.

It runs every law on every sample, on all cores, some minutes on two: ``python scripts/write_compositions.py``, from a checkout
with the development dependencies (values are compared with the references in ``tests/ops``, those of functions with PyTorch's).
Given names of ops or functions, it does so for these and keeps the other rows. A test checks that the page has what exists.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from multiprocessing import Pool
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.ops.matrix_values import WITH_VALUES  # noqa: E402 (found from the checkout's root)

from chainrule.functions.adapt import FUNCTIONS  # noqa: E402
from chainrule.testing.case import load_table  # noqa: E402
from chainrule.testing.composed import function_cases, functions  # noqa: E402
from chainrule.testing.forms import NO_FUNCTION  # noqa: E402
from chainrule.testing.matrix import op_cases, row  # noqa: E402
from chainrule.testing.traced import ending_ops  # noqa: E402

TARGET = ROOT / "docs" / "compositions.md"
ASKED = ("value", "vjp", "jvp", "vjp∘vjp", "jvp∘vjp", "vjp∘jvp", "jvp∘jvp", "vmap", "vmap∘vjp", "complex", "in-place", "out",
         "jet", "trace", "compiled")  # fmt: skip
NAMES = [*ASKED, *[name for name in WITH_VALUES if name not in ASKED]]
KINDS = ("op", "function")
HEAD = """# Transforms compose: the matrix

For every op of the table and every public function composed of several, on every sample that its declaration gives, in
booleans, integers, float64 and complex128 as far as it takes them: which laws hold? Written by
`scripts/write_compositions.py`; the laws are in `chainrule.testing`, and `check_op` holds your own ops to most of them.

- `value` of an op: that of a second text of its mathematics, in `tests/ops/references.py`; of a function: PyTorch's.
- `jvp` (forward mode) against differences of the op itself; `vjp` (reverse mode) as the transpose of `jvp`.
- a∘b is a of b. jvp∘jvp and jvp∘jvp∘jvp against differences of the derivative one order lower. jvp∘vjp (forward over reverse),
  vjp∘jvp and vjp∘vjp against differences of the gradient of the weighted sum of the results: all three are a product with its
  Hessian. Derivatives are taken where the op has one: in drawn arrays, not at the points that a sample gives.
- What has `vmap` in it, against a loop over the examples: each subset of the inputs batched, two levels, and no examples.
- `complex`: all these columns again, of the samples in complex numbers alone. They are counted once.
- `in-place`: `x.name_(…)` gives the function's value and gradients, or refuses what x cannot hold. `out`: `out=` gets the
  function's values, whatever its memory, and refuses operands that require grad. For ops without a function of their own, the
  mark is that of the functions whose result they give.
- `jet`: derivatives of orders 1 to 4 along a curve, against nested forward mode.
- `trace`: the graph gives the call's values, shapes and dtypes, and one traced from shapes alone is the same graph.
- `compiled`: `compile` gives the op, on two draws of its data in turn: values, dtypes and errors; the gradients that reach
  leaves through it; and vjp and jvp, compiled whole.

✓ holds on every sample checked. ✗ n fails on n. — is not checked. The small number leads to the reason, at the end of the page.
"""
DIGITS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
CELL = re.compile(rf"(✓|—|✗ \d+)([{DIGITS}]*)")
ROW = re.compile(r"^\| (op|function) \| `([\w.]+)` \| (.*) \| (\d+) \| ([\d,]+) \|$", re.MULTILINE)
REASON = re.compile(rf"^- ([{DIGITS}]+) (.*)$", re.MULTILINE)


class Row(NamedTuple):
    """Of an op or function: (mark, reason) in each column, its samples, the checks made of it."""

    cells: dict[str, tuple[str, str]]
    samples: int
    checks: int


Rows = dict[tuple[str, str], Row]


def found_anew(key: tuple[str, str]) -> tuple[tuple[str, str], Row]:
    """Return the row of an op or function, all laws run."""
    kind, name = key
    warnings.simplefilter("ignore")
    of = op_cases([load_table()[name]]) if kind == "op" else function_cases(functions([name]))
    cells = row(of, WITH_VALUES)
    checks = sum([cells[n].checked for n in WITH_VALUES])
    return key, Row({n: (cells[n].mark, cells[n].why) for n in NAMES}, len(of), checks)


def rows_of(keys: Iterable[tuple[str, str]]) -> Rows:
    """Return the rows of ops and functions, found on all cores."""
    with Pool() as pool:
        return dict(pool.imap_unordered(found_anew, keys, chunksize=4))


def rows_in(text: str) -> Rows:
    """Return the rows that a page has."""
    reasons = {m[1]: m[2] for m in REASON.finditer(text)}
    (head,) = set(re.findall(r"^\| kind \| name \| (.*) \| samples \| checks \|$", text, re.MULTILINE)) or {""}
    names = [re.sub("`", "", n) for n in head.split(" | ")]
    found = {}
    for m in ROW.finditer(text):
        marks = [CELL.fullmatch(c) for c in m[3].split(" | ")]
        cells = {n: (c[1], reasons.get(c[2], "")) for n, c in zip(names, marks, strict=True) if c}
        found[m[1], m[2]] = Row(cells, int(m[4]), int(m[5].replace(",", "")))
    return found


def chapter(key: tuple[str, str]) -> str:
    """Return the chapter of the rule book, or of the functions, in which something is declared."""
    kind, name = key
    home = load_table()[name].about.home if kind == "op" else FUNCTIONS[name].call.__module__
    return home.split(".")[2]


def with_forms(rows: Rows) -> Rows:
    """Return the rows, where ops without functions of their own have the forms of the functions whose results they give."""
    users = defaultdict(list)
    for function in functions():
        for op in ending_ops(function_cases([function])):
            users[op].append(function.name)
    for (kind, name), found in rows.items():
        for column in ("in-place", "out") if kind == "op" else ():
            marks = [rows["function", f].cells[column] for f in users[name]]
            if found.cells[column][1] == NO_FUNCTION and marks:
                found.cells[column] = max(marks, key=lambda cell: "—✓✗".index(cell[0][0]))
    return rows


def small(n: int) -> str:
    """Return a number in superscript."""
    return "".join(DIGITS[int(d)] for d in str(n))


def failed(found: Row) -> int:
    """Return how many checks of a row failed."""
    return sum([int(mark[2:]) for n, (mark, _) in found.cells.items() if mark[0] == "✗" and n != "complex"])


def counts(rows: Rows) -> str:
    """Return the table of counts, a line for each chapter."""
    total: dict[str, Counter] = defaultdict(Counter)
    for key, found in rows.items():
        for where in (chapter(key), "**all**"):
            total[where].update({key[0]: 1, "checks": found.checks, "failed": failed(found)})
    lines = ["| chapter | ops | functions | checks | failed |", "|---|--:|--:|--:|--:|"]
    for where in sorted(total, key=lambda where: (where == "**all**", where)):
        c = total[where]
        lines.append(f"| {where} | {c['op']} | {c['function']} | {c['checks']:,} | {c['failed']} |")
    return "\n".join(lines)


def page(rows: Rows) -> str:
    """Return the text of the page."""
    reasons: dict[str, int] = {}
    tables = []
    for kind, title in zip(KINDS, ("Ops", "Functions of several ops"), strict=True):
        lines = [f"## {title}", "", "| " + " | ".join(["kind", "name", *NAMES, "samples", "checks"]) + " |"]
        lines.append("|---|---|" + ":-:|" * len(NAMES) + "--:|--:|")
        for key in sorted(k for k in rows if k[0] == kind):
            found = rows[key]
            cells = []
            for mark, why in [found.cells[n] for n in NAMES]:
                cells.append(mark + (small(reasons.setdefault(why, len(reasons) + 1)) if why else ""))
            lines.append("| " + " | ".join([kind, f"`{key[1]}`", *cells, str(found.samples), f"{found.checks:,}"]) + " |")
        tables.append("\n".join(lines))
    told = "\n".join([f"- {small(n)} {' '.join(why.split())}" for why, n in reasons.items()])
    return "\n\n".join([HEAD.strip(), "## Counts", counts(rows), *tables, "## Reasons", told]) + "\n"


def keys_of(names: Collection[str]) -> list[tuple[str, str]]:
    """Return the ops and functions that there are, or those of some names."""
    every = [("op", name) for name in load_table()] + [("function", f.name) for f in functions()]
    return [key for key in every if not names or key[1] in names]


if __name__ == "__main__":
    chosen = sys.argv[1:]
    kept = rows_in(TARGET.read_text()) if chosen else {}
    rows = {key: found for key, found in kept.items() if key in keys_of(())} | rows_of(keys_of(chosen))
    TARGET.write_text(page(with_forms(rows)))
    wrong = [f"{name}: {why}" for (_, name), found in rows.items() for mark, why in found.cells.values() if mark[0] == "✗"]
    print("\n".join(wrong) or "all agree")

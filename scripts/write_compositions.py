"""Write ``docs/compositions.md``: which compositions of transforms agree, for every differentiable op of the table.

It runs every law on every sample, two minutes on one core: ``python scripts/write_compositions.py``. Given names of ops, it
does so for these and keeps the other rows. A test checks that the page has the ops that exist.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import chainrule
from chainrule.testing import cases
from chainrule.testing.compositions import COMPOSITIONS, failures

TARGET = Path(chainrule.__file__).parents[2] / "docs" / "compositions.md"
HEAD = """# Transforms compose: the matrix

For every op that has a derivative and every sample that its declaration gives, in float64 and, where the op takes them, complex
numbers: is the derivative that a composition of transforms gives the one found another way? `jvp` is forward mode, `vjp`
reverse mode, `vmap` batching; a∘b is a of b. Written by `scripts/write_compositions.py`; the laws are in
`chainrule.testing.compositions`.

- `jvp` against differences of the op itself; `vjp` as the transpose of `jvp`.
- jvp∘jvp and jvp∘jvp∘jvp against differences of the derivative one order lower. jvp∘vjp, vjp∘jvp and vjp∘vjp against
  differences of the gradient of the weighted sum of the results: all three are a product with its Hessian.
- What has `vmap` in it, against a loop over the examples.

{total} checks, {failed} failed.

"""


ROW = re.compile(r"^\| `(\w+)` \| .* \| (\d+) \|$", re.MULTILINE)


def page(only: Collection[str] = ()) -> tuple[str, list[str]]:
    """Return the text of the page, and what failed; given names of ops, only their rows are found anew."""
    names = list(COMPOSITIONS)
    counts: Counter[str] = Counter()
    wrong: dict[str, Counter] = {}
    told: list[str] = []
    existing = {case.op.name: case.op for case in cases(differentiable=True)}
    chosen = [existing[name] for name in only] if only else None
    for case in cases(chosen, differentiable=True):
        name = case.op.name
        counts[name] += 1
        for composition, error in failures(case).items():
            wrong.setdefault(name, Counter())[composition] += 1
            told.append(error)
    rows = {}
    if only:
        rows = {m[1]: m[0] for m in ROW.finditer(TARGET.read_text()) if m[1] in existing}
    for name, count in counts.items():
        failed = wrong.get(name, Counter())
        cells = [f"✗ {failed[c]}" if failed[c] else "✓" for c in names]
        rows[name] = "| " + " | ".join([f"`{name}`", *cells, str(count)]) + " |"
    table = "\n".join(rows[name] for name in sorted(rows))
    total = sum(int(m[2]) for m in ROW.finditer(table)) * len(names)
    failed_cells = sum(int(n) for n in re.findall(r"✗ (\d+)", table))
    lines = ["| " + " | ".join(["op", *names, "samples"]) + " |", "|---|" + ":-:|" * len(names) + "--:|"]
    return HEAD.format(total=f"{total:,}", failed=failed_cells) + "\n".join(lines) + "\n" + table + "\n", told


if __name__ == "__main__":
    text, told = page(sys.argv[1:])
    TARGET.write_text(text)
    print("\n".join(told) or "all agree")

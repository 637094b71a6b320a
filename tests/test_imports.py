"""The house's order: no circle of imports among files, wherever in them the imports stand; none inside functions of core.

Which room may import which is import-linter's contract, in pyproject.toml.
"""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import chainrule

ROOT = Path(chainrule.__file__).parent
# Read when they are first asked for, so that `import chainrule` stays short; nothing of core is among them.
LAZY = {
    "chainrule": "its lazy subpackages",
    "chainrule.__main__": "the command that is run",
    "chainrule.autograd": "its lazy modules",
}


@functools.cache
def modules():
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text())
    return found


def statements(node):
    """Return the statements right inside of one, where imports may stand; expressions hold none."""
    return [child for part in ("body", "handlers", "orelse", "finalbody", "cases") for child in getattr(node, part, ())]


def imported(tree, known):
    """Yield (module, whether inside a function) for each import of one of ours that runs, type checkers' apart."""

    def walk(node, inside):
        for child in statements(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                yield from [(alias.name, inside) for alias in child.names if alias.name in known]
            elif isinstance(child, ast.ImportFrom):
                for alias in child.names:
                    full = f"{child.module}.{alias.name}"
                    yield (full if full in known else child.module), inside
            yield from walk(child, inside or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)))

    yield from [(name, inside) for name, inside in walk(tree, False) if name in known]


def circles(edges):
    """Return the strongly connected components of more than one module (Tarjan 1972)."""
    order, low, stack, found = {}, {}, [], []

    def visit(v):
        order[v] = low[v] = len(order)
        stack.append(v)
        for w in edges.get(v, ()):
            if w not in order:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in stack:
                low[v] = min(low[v], order[w])
        if low[v] == order[v]:
            component = stack[stack.index(v) :]
            del stack[stack.index(v) :]
            if len(component) > 1:
                found.append(sorted(component))

    for v in list(edges):
        if v not in order:
            visit(v)
    return found


def test_no_circle_of_imports():
    trees = modules()
    edges = {name: {m for m, _ in imported(tree, trees) if m != name} for name, tree in trees.items() if name not in LAZY}
    assert circles(edges) == []


def test_core_imports_at_the_top():
    trees = modules()
    inner = [
        (n, m) for n, tree in trees.items() if n.startswith("chainrule.core") for m, inside in imported(tree, trees) if inside
    ]
    assert inner == []


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_no_file_is_long():
    long = {p.relative_to(ROOT).as_posix(): n for p in ROOT.rglob("*.py") if (n := len(p.read_text().splitlines())) > 500}
    assert long == {}


def test_import_loads_only_the_library_and_a_little_of_python():
    code = (
        "import sys, numpy; before = {*sys.modules}; import chainrule; found = {*sys.modules} - before; "
        "print(*[m for m in found if m.partition('.')[0] not in {'chainrule', *sys.stdlib_module_names}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []  # `numpy.random` was among them

"""How a call was written is read from source and bytecode alike; of bytecode of other versions of Python, too."""

from __future__ import annotations

import ast
import dis
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from chainrule.explanation import written as module
from chainrule.explanation.written import Step, in_bytecode, steps_to, written

SOURCE = """
def run(x, self, ps, i, c):
    see(x.grad)
    lib.see(self.w.grad, element=(i, 0))
    lib.autograd.see(ps["a"][0].grad, element=i)
    see(ps[i].grad)
    see(ps[-1].grad, gradient=lib(x, k=3))
    def inner(): see(x.grad)
    inner()
    see(x if c else c.grad)
    see(what=x.grad)
    see(*[x.grad])
    [see(p.grad) for p in (x,)]
    see((x + 1).grad, 3, x[1:2], x.f(3).grad)
    see(x, [i, c], element=-1)
    see(x.grad, gradient=x if c else i)
    see(lib(see(ps[300].grad)))
    see(x or c)
    see(
        x.grad,
    )
see(lib.grad)
run(lib, lib, lib, 3, 1)
"""

SEEN = """
class Anything:
    def __getattr__(self, name):
        return self
    def __getitem__(self, key):
        return self
    def __call__(self, *args, **kwargs):
        return self
    def __add__(self, other):
        return self

def shown(found):
    text = lambda node: None if node is None else ast.unparse(node)
    return [text(a) for a in found.positional], {k: text(v) for k, v in found.keywords.items()}

def seen(source):
    found = []
    def see(*args, **kwargs):
        found.append(shown(written(sys._getframe(1))))
        return see
    Anything.see = staticmethod(see)
    exec(source, {"see": see, "lib": Anything()})
    return found
"""

EXPECTED = [
    (["lib.grad"], {}),
    (["x.grad"], {}),
    (["self.w.grad"], {"element": None}),
    (["ps['a'][0].grad"], {"element": "i"}),
    (["ps[i].grad"], {}),
    (["ps[-1].grad"], {"gradient": None}),
    (["x.grad"], {}),
    ([], {}),  # which of the two it was, bytecode does not tell
    ([], {"what": "x.grad"}),
    ([], {}),
    (["p.grad"], {}),
    ([None, "3", None, None], {}),
    (["x", None], {"element": "-1"}),
    ([], {}),
    (["ps[300].grad"], {}),
    ([None], {}),
    ([], {}),
    (["x.grad"], {}),
]


def test_bytecode_tells_names_attributes_and_items():
    space = {"ast": ast, "sys": sys, "written": written}
    exec(SEEN, space)
    assert space["seen"](SOURCE) == EXPECTED


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_other_versions_of_python_tell_the_same(version):
    python = shutil.which(f"python{version}")
    script = f"import ast, sys\nsys.path.insert(0, {module.__file__.rpartition('/')[0]!r})\nfrom written import written\n"
    script += f"{SEEN}\nassert seen({SOURCE!r}) == {EXPECTED!r}"
    if python is None or subprocess.run([python, "-c", "pass"], capture_output=True, check=False).returncode:
        pytest.skip(f"there is no Python {version} here")
    subprocess.run([python, "-c", script], check=True)


def test_instructions_as_python_3_14_has_them():
    subscript = SimpleNamespace(opname="BINARY_OP", opcode=dis.opmap["BINARY_OP"], arg=26, argval=26, argrepr="[]")
    steps = [  # see(ps[-1].grad, element=i), after a statement
        Step("POP_TOP", None, -1),
        Step("LOAD_GLOBAL", "see", 2),
        Step("LOAD_FAST_BORROW", "ps", 1),
        Step("LOAD_CONST", -1, 1),
        *module._split(subscript, None, False),
        Step("LOAD_ATTR", "grad", 0),
        Step("LOAD_FAST_BORROW", "i", 1),
        Step("LOAD_CONST", ("element",), 1),
        Step("CALL_KW", 2, -4),
    ]
    found = in_bytecode(steps)
    assert ast.unparse(found.positional[0]) == "ps[-1].grad"
    assert ast.unparse(found.keywords["element"]) == "i"


def test_what_ways_lead_together_to_is_not_guessed():
    steps = [
        Step("LOAD_GLOBAL", "see", 2),
        Step("LOAD_NAME", "c", 1),
        Step("POP_JUMP_IF_FALSE", 6, -1, jumps=True),
        Step("LOAD_NAME", "a", 1),
        Step("JUMP_FORWARD", 3, 0, jumps=True),
        Step("LOAD_NAME", "b", 1, is_target=True),
        Step("CALL", 1, -2, is_target=True),
    ]
    assert in_bytecode(steps) is None
    assert in_bytecode(steps[:2]) is None
    assert in_bytecode([Step("CALL", 2, -3)]) is None


def test_instructions_end_at_the_one_that_runs():
    code = compile("f(x.grad); g(y.grad)", "<nowhere>", "exec")
    calls = [n for n, step in enumerate(steps_to(code, 10**6)) if step.name == "CALL"]
    assert len(calls) == 2
    assert steps_to(code, -1) == []

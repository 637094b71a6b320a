"""Native code: from text to functions, and out of memory again."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from chainrule.compiler.llvm import engine, linking

pytest.importorskip("llvmlite")

SQUARES = """
define void @squares(ptr noalias %params, i64 %lo, i64 %hi) {
start:
  %x = load ptr, ptr %params
  %at = getelementptr ptr, ptr %params, i64 1
  %y = load ptr, ptr %at
  br label %loop
loop:
  %i = phi i64 [%lo, %start], [%next, %loop]
  %from = getelementptr double, ptr %x, i64 %i
  %value = load double, ptr %from
  %square = fmul double %value, %value
  %to = getelementptr double, ptr %y, i64 %i
  store double %square, ptr %to
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %hi
  br i1 %more, label %loop, label %end
end:
  ret void
}
"""
LARGE = SQUARES.replace("@squares", "@filled").replace(
    "%square = fmul double %value, %value", "%square = call double @fmod(double %value, double 3.0)"
)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    return tmp_path


def squared(code: engine.Code, values: list[float], name: str = "squares") -> list[float]:
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(code.address(name))
    x = np.array(values)
    y = np.zeros_like(x)
    params = (ctypes.c_void_p * 2)(x.ctypes.data, y.ctypes.data)
    function(ctypes.addressof(params), 0, len(x))
    return y.tolist()


def test_a_module_is_compiled_once_and_read_ever_after():
    first = engine.load(SQUARES, ["squares"])
    assert squared(first, [1.0, 2.0, 3.0]) == [1.0, 4.0, 9.0]
    assert set(first.timings) == {"read", "parse", "optimise", "emit", "link"}
    again = engine.load(SQUARES, ["squares"])
    assert squared(again, [1.0, 2.0, 3.0]) == [1.0, 4.0, 9.0]
    assert set(again.timings) == {"read", "link"}


@pytest.fixture(params=["ours", "LLVM's"])
def linker(request, monkeypatch):
    if request.param != "ours":
        monkeypatch.setattr(linking, "HERE", False)
    elif not linking.HERE:
        pytest.skip("linked by LLVM")


CONSTANTS = """
@table = private unnamed_addr constant [4 x double] [double 1.0, double 2.0, double 3.0, double 4.0], align 32
@names = private unnamed_addr constant [2 x ptr] [ptr @one, ptr @two]
declare double @cos(double)
declare double @sin(double)
define double @one(double %x) noinline {
  %y = call double @cos(double %x)
  %z = fadd double %y, 0x3FB999999999999A
  ret double %z
}
define double @two(double %x) noinline {
  %y = call double @sin(double %x)
  ret double %y
}
define double @chosen(i64 %k, double %x) {
  %at = getelementptr [2 x ptr], ptr @names, i64 0, i64 %k
  %f = load ptr, ptr %at
  %y = call double %f(double %x)
  %from = getelementptr [4 x double], ptr @table, i64 0, i64 %k
  %c = load double, ptr %from
  %z = fmul double %y, %c
  ret double %z
}
define ptr @which(i64 %k) {
  %is = icmp eq i64 %k, 0
  %f = select i1 %is, ptr @cos, ptr @sin
  ret ptr %f
}
"""


@pytest.mark.parametrize("optimise", [True, False])
def test_constants_and_addresses_are_linked(linker, optimise):
    code = engine.load(CONSTANTS, ["chosen", "which", "one"], optimise)
    chosen = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64, ctypes.c_double)(code.address("chosen"))
    assert chosen(0, 0.5) == pytest.approx(np.cos(0.5) + 0.1)
    assert chosen(1, 0.5) == pytest.approx(2 * np.sin(0.5))
    which = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int64)(code.address("which"))
    cos = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(which(0))
    assert cos(0.5) == np.cos(0.5)


def test_constants_lie_as_their_instructions_need_them(linker):
    text = """
@vector = private unnamed_addr constant <16 x float> zeroinitializer, align 64
define ptr @place{k}() {
  ret ptr @vector
}
"""
    texts = [text.replace("{k}", str(k)) for k in range(3)]
    code = engine.load([SQUARES, *texts], [f"place{k}" for k in range(3)])
    assert [ctypes.CFUNCTYPE(ctypes.c_void_p)(code.address(f"place{k}"))() % 64 for k in range(3)] == [0, 0, 0]


@pytest.mark.skipif(not linking.HERE, reason="linked by LLVM")
def test_what_is_not_linked_here_is_refused():
    llvm, refused = engine._llvm(), linking.UnlinkableError
    image = llvm.object_code(CONSTANTS, {}, True)
    linking.Linked([image], ["chosen"])
    for texts, names in (
        (["@x = global i64 7\ndefine i64 @f() {\n  %v = load i64, ptr @x\n  ret i64 %v\n}"], ["f"]),
        (["declare void @no_such_function()\ndefine void @f() {\n  call void @no_such_function()\n  ret void\n}"], ["f"]),
        (["define void @f() {\n  ret void\n}"], ["g"]),
    ):
        with pytest.raises(refused):
            linking.Linked([llvm.object_code(text, {}, True) for text in texts], names)
    for size in range(0, len(image), 7):
        with contextlib.suppress(refused):
            linking.Linked([image[:size]], ["chosen"])
    draw = np.random.default_rng(0)
    for _ in range(300):  # never anything but a refusal: nothing of it runs
        spoilt = bytearray(image)
        for at in draw.integers(0, len(image), 4):
            spoilt[at] = draw.integers(0, 256)
        with contextlib.suppress(refused):
            linking.Linked([bytes(spoilt)], ["chosen"])


def test_names_of_the_c_library_are_found(linker):
    text = LARGE + "declare double @fmod(double, double)\n"
    assert squared(engine.load(text, ["filled"]), [5.0, 7.5, -4.0], "filled") == [2.0, 1.5, -1.0]


def test_the_text_and_the_assembly_can_be_looked_at():
    assert "fmul" in engine.optimised(SQUARES)
    assert "squares:" in engine.assembly(SQUARES)
    assert engine.vector_bytes() in (16, 32, 64)


def test_what_is_no_module_is_refused_by_llvm():
    with pytest.raises(RuntimeError, match="expected"):
        engine.load("this is not LLVM IR", [])


def test_a_kept_object_that_does_not_link_is_compiled_anew(monkeypatch):
    engine.cache().put(engine.host().key(SQUARES, True), b"whole, and no object file")
    code = engine.load(SQUARES, ["squares"])
    assert squared(code, [3.0]) == [9.0]
    assert "emit" in code.timings
    assert "emit" not in engine.load(SQUARES, ["squares"]).timings


def test_several_modules_are_loaded_together_and_kept_apart():
    other = SQUARES.replace("@squares", "@others")
    engine.load(other, ["others"])
    code = engine.load([SQUARES, other], ["squares", "others"], optimise=True)
    assert squared(code, [3.0], "others") == squared(code, [3.0]) == [9.0]
    assert "emit" not in engine.load([other, SQUARES], ["squares", "others"]).timings
    assert "optimise" not in engine.load(SQUARES, ["squares"], optimise=False).timings


@pytest.mark.parametrize("what", ["by", "triple", "cpu", "features"])
def test_code_for_another_processor_or_compiler_is_not_taken(monkeypatch, what):
    engine.load(SQUARES, ["squares"])
    host = engine.host()
    parts = {name: getattr(host, name) + ("x" if name == what else "") for name in host.__slots__}
    monkeypatch.setattr(engine, "_host", engine.Host(**parts))
    assert "emit" in engine.load(SQUARES, ["squares"]).timings


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="counts the process's mappings")
def test_code_is_freed_with_its_object(linker):
    def mapped() -> int:  # bytes: neighbours become one mapping
        with open("/proc/self/maps") as maps:
            found = [line.split()[0].split("-") for line in maps if "r-xp" in line and "/" not in line]
        return sum([int(end, 16) - int(start, 16) for start, end in found])

    engine.load(SQUARES, ["squares"])
    gc.collect()
    before = mapped()
    held = [engine.load(SQUARES, ["squares"]) for _ in range(50)]
    during = mapped() - before
    assert squared(held[7], [4.0]) == [16.0]
    held.clear()
    gc.collect()
    assert mapped() - before < during / 2


def test_threads_compile_at_once():
    texts = [SQUARES.replace("@squares", f"@squares{k}") for k in range(8)]
    found: dict[int, list] = {}

    def work(k: int) -> None:
        found[k] = squared(engine.load(texts[k], [f"squares{k}"]), [float(k)], f"squares{k}")

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {k: [float(k * k)] for k in range(8)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_runs_and_compiles_while_the_parent_compiles():
    code = f"""
import os, threading, warnings
warnings.simplefilter("ignore")
from chainrule.compiler.llvm import engine
text = {SQUARES!r}
engine.load(text, ["squares"])
stop = False
def busy():
    k = 0
    while not stop:
        k += 1
        engine.load(text.replace("squares", f"busy{{k}}"), [f"busy{{k}}"])
thread = threading.Thread(target=busy)
thread.start()
children = []
for k in range(10):
    child = os.fork()
    if not child:
        os._exit(0 if engine.load(text.replace("squares", f"child{{k}}"), [f"child{{k}}"]).address(f"child{{k}}") else 1)
    children.append(child)
status = [os.waitpid(child, 0)[1] for child in children]
stop = True
thread.join()
assert status == [0] * 10, status
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("planted", "words"), [("None", "needs llvmlite 0.50 or newer"), ("Old()", "found 0.41.1")], ids=["missing", "old"]
)
def test_without_a_good_llvmlite_one_error_says_what_to_install(planted, words):
    code = f"""
import sys, types
class Old(types.ModuleType):
    def __init__(self):
        super().__init__("llvmlite")
        self.__version__, self.binding = "0.41.1", types.ModuleType("llvmlite.binding")
        sys.modules["llvmlite.binding"] = self.binding
sys.modules["llvmlite"] = {planted}
from chainrule.compiler.llvm import engine
assert not engine.available()
try:
    engine.load("", [])
except engine.UnavailableError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert words in done.stdout
    assert 'pip install "chainrule[compile]"' in done.stdout


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not linking.HERE, reason="linked by LLVM")
def test_what_was_kept_runs_without_llvmlite():
    code = f"""
import sys
from chainrule.compiler.llvm import engine
assert engine.available()
code = engine.load({SQUARES!r}, ["squares"])
assert code.address("squares") and engine.vector_bytes() >= 16 and engine.processor() == "x86_64"
print("llvmlite" in sys.modules)
"""
    assert run(code) == "True\n"
    assert run(code) == "False\n"
    assert run(code, CHAINRULE_CACHE="0") == "True\n"
    assert b"flags" in engine._identity()
    assert b"model" in engine._identity()
    another = "from chainrule.compiler.llvm import linking, engine; engine._identity = lambda: b'another processor'\n" + code
    assert run(another) == "True\n"


def test_llvmlite_is_imported_only_when_code_is_asked_for():
    code = "import sys, chainrule.compiler.llvm.engine; assert 'llvmlite' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

"""Native code: from text to functions, and out of memory again."""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from chainrule.compiler.llvm import engine

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


def test_names_of_the_c_library_are_found():
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
    llvm = engine._llvm()
    engine.cache().put(llvm.key(SQUARES, True), b"whole, and no object file")
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


@pytest.mark.parametrize("what", ["cpu", "features", "version"])
def test_code_for_another_processor_or_compiler_is_not_taken(monkeypatch, what):
    engine.load(SQUARES, ["squares"])
    llvm = engine._llvm()
    parts = llvm._about.split("\n")
    place = {"version": 1, "cpu": 4, "features": 5}[what]
    parts[place] += "x"
    monkeypatch.setattr(llvm, "_about", "\n".join(parts))
    assert "emit" in engine.load(SQUARES, ["squares"]).timings


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="counts the process's mappings")
def test_code_is_freed_with_its_object():
    def mapped() -> int:
        with open("/proc/self/maps") as maps:
            return len([line for line in maps if "r-xp" in line and "/" not in line])

    engine.load(SQUARES, ["squares"])
    gc.collect()
    before = mapped()
    held = [engine.load(SQUARES, ["squares"]) for _ in range(50)]
    during = mapped()
    assert squared(held[7], [4.0]) == [16.0]
    held.clear()
    gc.collect()
    assert mapped() <= before + 2 < during


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


def test_llvmlite_is_imported_only_when_code_is_asked_for():
    code = "import sys, chainrule.compiler.llvm.engine; assert 'llvmlite' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

"""The sweeps: through all float32 numbers by even strides, and 10^6 of float64, no error is above 2 ulps."""

import ctypes
import platform

import numpy as np
import pytest

llvm = pytest.importorskip("llvmlite.binding")
pytest.importorskip("mpmath")

from tests.compiler.llvm.kernels import kernel, loop_text, points  # noqa: E402
from tests.compiler.llvm.sweeps import LOOSE, sweep  # noqa: E402

from chainrule.compiler.llvm.math import FUNCTIONS  # noqa: E402


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "n"), [("float32", 10_000_000), ("float64", 1_000_000)])
@pytest.mark.parametrize("primitive", sorted(FUNCTIONS))
def test_no_error_is_above_two_ulps(primitive, dtype, n):
    error, where = sweep(primitive, dtype, n, seed=3)
    assert error <= LOOSE.get(primitive, 2), where


@pytest.mark.parametrize("primitive", ["exp", "sin", "log"])
def test_a_sweep_sees_errors_of_about_one(primitive):
    assert sweep(primitive, "float64", 10_000)[0] == pytest.approx(1, abs=0.7)


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="processors of one family")
@pytest.mark.parametrize("cpu", ["x86-64-v2", "haswell"])  # without fused multiply-adds, and with narrower vectors
def test_older_processors_get_the_same_results(cpu):
    kernel("exp", "float32", 8)  # which starts LLVM
    target = llvm.Target.from_triple(llvm.get_process_triple())
    machine = target.create_target_machine(cpu=cpu, features="", opt=2, reloc="pic", codemodel="small")
    for primitive in FUNCTIONS:
        for dtype in ("float32", "float64"):
            module = llvm.parse_assembly(loop_text(primitive, dtype, 4), llvm.create_context())
            module.triple, module.data_layout = machine.triple, str(machine.target_data)
            library = llvm.JITLibraryBuilder().add_current_process().add_object_img(machine.emit_object(module))
            loaded = library.export_symbol("run").link(llvm.create_lljit_compiler(use_jit_link=True), "kernel")
            xs = [x[: x.size // 8 * 8] for x in points(primitive, dtype, 100)]
            out = np.empty_like(xs[0])
            run = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (len(xs) + 1), ctypes.c_int64)(loaded["run"])
            run(*[x.ctypes.data for x in xs], out.ctypes.data, out.size // 4)
            np.testing.assert_array_equal(out, kernel(primitive, dtype, 8)(*xs))

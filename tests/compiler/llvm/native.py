"""Nests as native code, for tests: no cache, no executor, nothing but LLVM."""

from __future__ import annotations

import ctypes
import itertools
import mmap
from functools import cache

import llvmlite.binding as llvm
import numpy as np

from chainrule.compiler.llvm.emit import emit
from chainrule.compiler.llvm.pipeline import optimise
from chainrule.compiler.llvm.target import Target
from chainrule.compiler.loops.nest import Nest

_numbers = itertools.count()


@cache
def machine():
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=2, reloc="pic")


@cache
def jit():
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return llvm.create_lljit_compiler(target.create_target_machine(cpu=llvm.get_host_cpu_name()), use_jit_link=True)


def compiled(text: str, names: list[str]) -> tuple:
    """Return the addresses of functions of a module, with what keeps them there."""
    m = machine()
    module = llvm.parse_assembly(text)
    module.verify()
    optimise(llvm, module, m)
    image = m.emit_object(module)
    library = llvm.JITLibraryBuilder().add_object_img(image).add_current_process()
    for name in names:
        library = library.export_symbol(name)
    loaded = library.link(jit(), f"test{next(_numbers)}")
    return [loaded[n] for n in names], loaded


def fenced(array: np.ndarray, at_end: bool) -> np.ndarray:
    """Return a copy that begins or ends where memory may not be touched."""
    page = mmap.PAGESIZE
    pages = -(-array.nbytes // page) * page
    block = mmap.mmap(-1, pages + 2 * page)
    bytes_ = np.frombuffer(block, np.uint8)
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    for start in (0, page + pages):
        assert protect(ctypes.c_void_p(bytes_.ctypes.data + start), ctypes.c_size_t(page), 0) == 0
    start = page + (pages - array.nbytes if at_end else 0)
    out = bytes_[start : start + array.nbytes].view(array.dtype)
    out[:] = array
    return out


class Native:
    """A nest as a function of memory, as `Nest.run` takes it."""

    def __init__(self, nest: Nest, vector_bytes: int = 64, family: str = "x86_64"):
        self.nest, self.text = nest, emit(nest, "nest", Target(vector_bytes, family))
        (address,), self.keeps = compiled(self.text, ["nest"])
        self.f = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(address)

    def __call__(self, memory: list[np.ndarray], *ranges: tuple[int, int]) -> None:
        pointers = (ctypes.c_void_p * len(memory))(*[m.ctypes.data for m in memory])
        for low, high in ranges or [(0, int(np.prod(self.nest.outer, dtype=int)))]:
            self.f(ctypes.addressof(pointers), low, high)

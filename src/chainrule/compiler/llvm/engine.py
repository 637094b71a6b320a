"""LLVM IR text becomes native code of this processor, or is read from the cache on disk, and is loaded into this process.

Loaded code lives as long as its `Code`. Modules contain no addresses: what they need is passed to their functions, so that
object code can be kept on disk; only the C library's and Python's own names are resolved. This module alone imports llvmlite,
when code is first asked for that the cache does not have. LLVM is entered by one thread at a time, and by none while the
process forks.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from chainrule.compiler.cache import cache
from chainrule.compiler.llvm import linking, pipeline

FORMAT = "2"  # of what the cache keeps: another number where the same IR text would become other code
NEEDED = (0, 50)


class UnavailableError(ImportError):
    """llvmlite is missing, or too old to be used."""


class Code:
    """Functions in memory, which are there as long as this object is.

    Attributes
    ----------
    names : tuple of str
        The exported functions.
    timings : dict of str to float
        Seconds that each stage took: "parse", "optimise", "emit" where it was compiled, "read" where the cache had it, "link".
    """

    __slots__ = ("_loaded", "_lock", "names", "timings")

    def __init__(self, loaded: Any, names: Sequence[str], timings: dict[str, float], lock: Any = None):
        self._loaded, self.names, self.timings, self._lock = loaded, tuple(names), timings, lock

    def __del__(self) -> None:
        if self._lock is not None:
            with self._lock:
                self._loaded = None

    def address(self, name: str) -> int:
        """Return the address of an exported function."""
        return self._loaded[name]


def available() -> bool:
    """Tell whether native code can be made here."""
    try:
        host()
    except UnavailableError:
        return False
    return True


def load(modules: str | Sequence[str], names: Sequence[str], optimise: bool = True) -> Code:
    """Compile modules, or read their object code from the cache, and load them together.

    Parameters
    ----------
    modules : str or sequence of str
        LLVM IR texts; their triple and data layout are this process's.
    names : sequence of str
        Functions whose addresses will be asked for.
    optimise : bool
        Whether passes are run, and instructions chosen with care: for code that is written by hand it takes eight times the
        time for little.

    Raises
    ------
    UnavailableError
        Without llvmlite.
    RuntimeError
        If a text is no valid module, says LLVM.
    """
    timings: dict[str, float] = {}
    texts = [modules] if isinstance(modules, str) else modules
    kept, about = cache(), host()
    keys = [about.key(text, optimise) for text in texts]
    with _timed(timings, "read"):
        images = [kept.get(key) for key in keys]
    if None not in images:
        try:
            return _loaded(images, names, timings)
        except RuntimeError:  # one does not link here; compile them anew
            images = [None] * len(texts)
    llvm = _llvm()
    with llvm.lock:
        for k, text in enumerate(texts):
            if images[k] is None:
                images[k] = image = llvm.object_code(text, timings, optimise)
                kept.put(keys[k], image)
    return _loaded(images, names, timings)


def _loaded(images: Sequence[Any], names: Sequence[str], timings: dict[str, float]) -> Code:
    """Load object code: by ourselves where we can, else by LLVM's linker."""
    with _timed(timings, "link"):
        try:
            return Code(linking.Linked(images, names), names, timings)
        except linking.UnlinkableError:
            llvm = _llvm()
            with llvm.lock:
                return Code(llvm.linked(images, names), names, timings, llvm.lock)


class Host:
    """What code is compiled for, and by what.

    Attributes
    ----------
    by, triple, cpu, features : str
        Versions of llvmlite and LLVM; the platform, processor and its features ("+avx,-sse4a") as LLVM names them.
    """

    __slots__ = ("by", "cpu", "features", "triple")

    def __init__(self, by: str, triple: str, cpu: str, features: str):
        self.by, self.triple, self.cpu, self.features = by, triple, cpu, features

    def key(self, ir: str, optimise: bool) -> bytes:
        """Return what the cache knows a module's object code by."""
        return f"{FORMAT}\n{self}\n{optimise:d}\n{ir}".encode()

    def __str__(self) -> str:
        return f"{self.by}\n{self.triple}\n{self.cpu}\n{self.features}"


def host() -> Host:
    """Return what code is compiled for here, as LLVM says, or as it said to an earlier process on this processor."""
    global _host
    if _host is None:
        here = _identity() if _found is None else None
        told = cache().get(here) if here else None
        if told is not None:
            _host = Host(*told.decode().split("\n"))
        else:
            _host = _llvm().host
            if here := _identity():
                cache().put(here, str(_host).encode())
    return _host


def _identity() -> bytes | None:
    """Return what tells this processor and llvmlite from others without importing it; None where that is not known."""
    if not linking.HERE:
        return None
    try:
        spec = find_spec("llvmlite")
        if spec is None or not spec.origin:
            return None
        about = os.stat(os.path.join(os.path.dirname(spec.origin), "_version.py"))
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            first = file.read().split("\n\n")[0].splitlines()
    except (OSError, ValueError):
        return None
    kept = ("vendor_id", "cpu family", "model", "stepping", "flags")
    processor = [line for line in first if line.split("\t")[0].strip(": ") in kept]
    return "\n".join([FORMAT, spec.origin, f"{about.st_mtime_ns} {about.st_size}", *processor]).encode() if processor else None


def optimised(ir: str) -> str:
    """Return a module's text after the passes, as it is turned into instructions."""
    llvm = _llvm()
    with llvm.lock:
        return str(llvm.optimised(ir, {}))


def assembly(ir: str) -> str:
    """Return the assembly that a module becomes."""
    llvm = _llvm()
    with llvm.lock:
        return llvm.machine.emit_assembly(llvm.optimised(ir, {}))


def vector_bytes() -> int:
    """Return how many bytes the widest vector registers of this processor have."""
    features = host().features.split(",")
    return 64 if "+avx512f" in features else 32 if "+avx" in features else 16


def template(name: str, **values: str) -> str:
    """Return the text of a file of IR beside this one, with values in place of their names in angle brackets."""
    text = Path(__file__).with_name(f"{name}.ll").read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"<{key}>", value)
    return text


def processor() -> str:
    """Return the family of this processor as LLVM names it: "x86_64", "aarch64"."""
    return host().triple.split("-")[0].replace("arm64", "aarch64")


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[stage] = timings.get(stage, 0.0) + time.perf_counter() - start


class _LLVM:
    """llvmlite, and what it compiles and links with."""

    def __init__(self, binding: Any, version: str):
        self.binding, self.lock = binding, threading.RLock()
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        try:
            features = binding.get_host_cpu_features()
        except RuntimeError:  # LLVM cannot ask this processor: the name alone says what it has
            features = binding.FeatureMap()
        by = f"{version} {'.'.join(map(str, binding.llvm_version_info))}"
        self.host = Host(by, binding.get_process_triple(), binding.get_host_cpu_name(), features.flatten())
        self.machine = self._machine()
        self._jit: Any = None
        self._numbers = itertools.count()

    def _machine(self, effort: int = 2) -> Any:
        host = self.host
        target = self.binding.Target.from_triple(host.triple)
        return target.create_target_machine(cpu=host.cpu, features=host.features, opt=effort, reloc="pic", codemodel="small")

    def parsed(self, ir: str, timings: dict[str, float]) -> Any:
        with _timed(timings, "parse"):
            module = self.binding.parse_assembly(ir, self.binding.create_context())
            module.triple, module.data_layout = self.host.triple, str(self.machine.target_data)
            module.verify()
        return module

    def optimised(self, ir: str, timings: dict[str, float]) -> Any:
        module = self.parsed(ir, timings)
        with _timed(timings, "optimise"):
            pipeline.optimise(self.binding, module, self.machine)
        return module

    def object_code(self, ir: str, timings: dict[str, float], optimise: bool) -> bytes:
        module = self.optimised(ir, timings) if optimise else self.parsed(ir, timings)
        with _timed(timings, "emit"):
            return (self.machine if optimise else self._machine(0)).emit_object(module)

    def linked(self, images: Sequence[Any], names: Sequence[str]) -> Any:
        if self._jit is None:  # which is never freed: code may be after it
            here = sys.platform != "win32"
            self._jit = self.binding.create_lljit_compiler(self._machine(), use_jit_link=here, suppress_errors=True)
        builder = self.binding.JITLibraryBuilder().add_current_process()
        for image in images:
            builder.add_object_img(image)
        for name in names:
            builder.export_symbol(name)
        return builder.link(self._jit, f"code{next(self._numbers)}")


_host: Host | None = None
_found: _LLVM | None = None
_finding = threading.Lock()


def _llvm() -> _LLVM:
    global _found
    if _found is None:
        with _finding:
            if _found is None:
                _found = _LLVM(*_imported())
    return _found


def _imported() -> tuple[Any, str]:
    """Return llvmlite's binding and its version."""
    needs = f'native code needs llvmlite {".".join(map(str, NEEDED))} or newer; pip install "chainrule[compile]"'
    try:
        import llvmlite
        import llvmlite.binding
    except ImportError as error:
        raise UnavailableError(f"{needs} ({error})") from error
    version = llvmlite.__version__
    if sys.maxsize < 2**32:
        raise UnavailableError("native code needs a Python of 64 bits")
    found = tuple([int(part) for part in version.split(".")[:2] if part.isdecimal()])
    if found < NEEDED:
        raise UnavailableError(f"{needs} (found {version})")
    return llvmlite.binding, version


def _before_fork() -> None:
    _finding.acquire()
    if _found is not None:
        _found.lock.acquire()


def _after_fork() -> None:
    if _found is not None:
        _found.lock.release()
    _finding.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)

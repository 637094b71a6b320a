"""What ``chainrule info`` tells: versions, the BLAS behind NumPy, cores, and which optional parts are there.

Optional packages are looked up in their metadata, not imported.
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import numpy as np

import chainrule
from chainrule.compiler.cache import cache

PARTS = (
    ("ml_dtypes", "bfloat16"),
    ("rich", "chainrule demo"),
    ("scikit-learn", "chainrule demo"),
    ("llvmlite", "compilation"),
    ("torch", "peer, for tests and benchmarks"),
    ("jax", "peer, for benchmarks"),
    ("autograd", "peer, for benchmarks"),
)


def found_version(package: str) -> str | None:
    """Return an installed package's version; None if it is not installed.

    Examples
    --------
    >>> found_version("no-such-package") is None
    True
    """
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def blas_name() -> str:
    """Return name and version of the BLAS that NumPy was built with."""
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})  # type: ignore[call-arg, attr-defined, union-attr]
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()


def cores() -> str:
    """Return how many cores there are, and how many of them this process may use where that is fewer."""
    total = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    return str(total) if usable == total else f"{total}, of which this process may use {usable}"


def report() -> str:
    """Return the report of ``chainrule info``, one fact a line."""
    facts = [
        ("chainrule", chainrule.__version__),
        ("Python", f"{platform.python_version()} ({platform.python_implementation()}, {platform.platform()})"),
        ("NumPy", np.__version__),
        ("SciPy", found_version("scipy") or "missing"),
        ("BLAS", blas_name()),
        ("cores", cores()),
        ("code cache", str(cache().folder or "off")),
    ]
    lines = [f"{name:<14}{text}" for name, text in facts]
    lines += ["", "optional parts"]
    lines += [f"  {name:<14}{found_version(name) or 'missing':<12}  {use}" for name, use in PARTS]
    return "\n".join(lines)

"""The stubs that type checkers read of what is made at import are up to date."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "write_stubs.py"
STUBS = ("__init__.pyi", "core/tensor/methods.pyi", "return_types.pyi", "fft/__init__.pyi", "special/__init__.pyi")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """What the script writes, in a process of its own: tests declare public functions too."""
    program = f"""
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("write_stubs", {str(SCRIPT)!r})
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)
for path, text in script.STUBS.items():
    (pathlib.Path(sys.argv[1]) / path.relative_to(script.ROOT).as_posix().replace("/", "+")).write_text(text())
"""
    folder = tmp_path_factory.mktemp("stubs")
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True)
    return folder


@pytest.mark.parametrize("stub", STUBS)
def test_stub_is_what_the_running_library_says(stub, written):
    source = Path(importlib.util.find_spec("chainrule").origin).parent / stub
    assert (written / stub.replace("/", "+")).read_text() == source.read_text(), "run: python scripts/write_stubs.py"


def test_every_public_function_has_a_type():
    text = (Path(importlib.util.find_spec("chainrule").origin).parent / "__init__.pyi").read_text()
    anything = [line for line in text.splitlines() if "-> Any" in line]
    assert [line.partition("(")[0] for line in anything] == [
        "def as_torch",
        "def compile",
        "def get_device_module",
        "def load",
    ]  # which return what they got, or a module

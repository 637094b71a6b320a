"""The stub of attached methods that type checkers read is up to date."""

from __future__ import annotations

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "write_stubs.py"


def test_stub_lists_the_methods_that_tensor_has():
    spec = importlib.util.spec_from_file_location("write_stubs", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.stub() == script.TARGET.read_text(), "run: python scripts/write_stubs.py"

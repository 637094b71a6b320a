"""Functions made from source: their modules' bytecode is kept, and made anew when what they are made of changes."""

from __future__ import annotations

import linecache
import os
import subprocess
import sys

from chainrule.core.op.source import Written


def test_bytecode_of_a_written_module_is_kept_until_what_it_is_made_of_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "bytecode"))
    origin, times = tmp_path / "origin", []

    def write():
        times.append(1)
        return f"def f():\n    return {origin.read_text()}\n"

    def value():
        return Written("text of a test", (str(origin),), write).names()["f"]()

    for text, written in (("1", 1), ("2", 2)):
        origin.write_text(text)
        os.utime(origin, (1e9, 1e9))  # as of files of reproducible packages: neither time nor size tells the versions apart
        assert (value(), value(), len(times)) == (int(text), int(text), written)


def test_a_written_module_is_shown_and_needs_no_place_for_its_bytecode(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", "/dev/null/nowhere")
    f = Written("shown text", (str(tmp_path / "no such file"),), lambda: "def f():\n    return 3\n").names()["f"]
    assert f() == 3
    assert linecache.getline(f.__code__.co_filename, 2) == "    return 3\n"


def test_import_compiles_no_hot_path_again(tmp_path):
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    code = "import linecache, chainrule; print(*[name for name in linecache.cache if '<' in name])"
    command = [sys.executable, "-X", f"pycache_prefix={tmp_path}", "-c", code]
    for _ in range(2):
        done = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
    assert done.stdout.split() == []

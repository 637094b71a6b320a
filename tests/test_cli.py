"""The command line, in this process and in one of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

import chainrule as cr
from chainrule.__main__ import main


def test_info_names_versions_and_parts(capsys):
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    assert cr.__version__ in text
    for name in ("Python", "NumPy", "SciPy", "BLAS", "cores", "ml_dtypes", "llvmlite"):
        assert name in text


def test_help_version_and_bad_arguments(capsys):
    assert main([]) == 0
    assert "demo" in capsys.readouterr().out
    for arguments, status in ((["--version"], 0), (["demo", "--help"], 0), (["demo", "--epochs", "0"], 2), (["nothing"], 2)):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == status
    assert f"chainrule {cr.__version__}" in capsys.readouterr().out


def test_a_short_demo_learns_and_checks_its_gradient(capsys):
    pytest.importorskip("rich")
    pytest.importorskip("sklearn")
    assert main(["demo", "--epochs", "25", "--seed", "1", "--no-progress"]) == 0
    text = capsys.readouterr().out
    for words in ("tensor(3.) tensor(8.)", "reverse mode", "forward mode", "central differences", "docs/tutorial.md"):
        assert words in text
    assert "differ." not in text


def test_a_demo_that_learns_too_little_fails(capsys):
    pytest.importorskip("rich")
    pytest.importorskip("sklearn")
    assert main(["demo", "--epochs", "1"]) == 1
    assert "below 96%" in capsys.readouterr().out


def test_a_demo_without_its_packages_says_what_to_install():
    code = "import sys; sys.modules['sklearn'] = None; from chainrule.__main__ import main; sys.exit(main(['demo']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'In a clone of the repository: pip install ".[demo]"' in done.stderr


def test_the_module_runs_as_a_program():
    done = subprocess.run([sys.executable, "-m", "chainrule", "info"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("chainrule")


def test_info_imports_no_optional_part():
    code = (
        "import sys; from chainrule.info import report; report(); "
        "print([m for m in ('torch', 'jax', 'sklearn', 'rich', 'ml_dtypes') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

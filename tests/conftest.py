"""What several test files share: PyTorch, as the oracle where it is installed."""

from __future__ import annotations

import pytest

collect_ignore = ["programs"]  # scripts, which tests/test_tutorials.py runs


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch")

"""What several test files share: PyTorch, as the oracle where it is installed."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch")

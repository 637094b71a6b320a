"""Which of PyTorch's public names are here: each that is not has a reason."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
from scripts import coverage


@pytest.mark.parametrize("module", coverage.MODULES)
def test_each_missing_name_has_a_reason_or_is_to_be_done(module):
    assert not [name for name, why in coverage.missing(module).items() if not why]


def test_what_another_module_lends_is_no_name_of_a_module():
    lent = {("fft", "Tensor"), ("nn.functional", "Tensor"), ("nn.functional", "boolean_dispatch"), ("", "typing")}
    assert not [(module, name) for module, name in lent if name in coverage.public(coverage.found_in(module, "torch"))]
    assert {"fft", "ifft"} <= set(coverage.public(coverage.found_in("fft", "torch")))


def test_a_name_without_a_reason_is_found(monkeypatch):
    monkeypatch.setattr(coverage, "public", lambda module: ["nowhere"])
    assert coverage.missing("linalg") == {"nowhere": ""}

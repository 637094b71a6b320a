"""The API reference: every public name is in it, with a docstring whose cross references lead somewhere."""

from __future__ import annotations

import re
import types

import pytest
from scripts import write_reference as reference

import chainrule as cr


def test_docstrings_are_there_and_their_references_lead_somewhere():
    assert reference.faults() == []


def test_every_public_module_has_a_page_or_a_reason():
    known = {*reference.NOT_HERE, *[name for names in reference.PAGES.values() for name in names]}
    for name in cr._LAZY:
        page = reference.module(name)
        inner = [inner for inner in getattr(page, "__all__", ()) if isinstance(getattr(page, inner), types.ModuleType)]
        within = [] if name in reference.NOT_HERE else [f"{name}.{module}" for module in inner]
        assert {name, *within} <= known


def test_faults_are_found(monkeypatch):
    page = types.ModuleType("page", "See :func:`chainrule.func.grad`, :func:`sin`, :meth:`Tensor.sin` and :func:`nowhere`.")
    page.silent = lambda: None
    monkeypatch.setattr(reference, "PAGES", {"": ("page",)})
    monkeypatch.setattr(reference, "module", lambda name: page)
    assert reference.faults() == ["page: :…:`nowhere` leads nowhere", "page.silent has no docstring"]


@pytest.mark.slow
def test_pages_have_all_names_and_what_they_support(tmp_path):
    pytest.importorskip("pdoc")
    reference.write(tmp_path)
    assert (tmp_path / "search.js").exists()
    assert 'href="chainrule/nn/utils/rnn.html"' in (tmp_path / "index.html").read_text()
    for name in [name for names in reference.PAGES.values() for name in names]:
        page = reference.module(name)
        text = (tmp_path / f"{page.__name__.replace('.', '/')}.html").read_text()
        assert {*reference.public_names(page)} <= {*re.findall(r'<section id="([^"]+)"', text)}, name
    assert re.search(
        r'id="svd".*?Checked in: reverse mode, forward mode, vmap', (tmp_path / "chainrule/linalg.html").read_text(), re.DOTALL
    )
    top = (tmp_path / "chainrule.html").read_text()
    assert re.findall(r'<h2 id="chapter-[^"]*">([^<]*)</h2>', top) == [*reference.CHAPTERS.values()]
    assert 'id="Tensor.sin"' in top

"""Every Python block of the README and of docs/ runs, in order, each file in one namespace."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from chainrule.core.op.declaration import TABLE
from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.adapt import FUNCTIONS
from chainrule.testing.case import load_modules

load_modules("chainrule")  # so that what is declared while a page runs is the page's

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
FENCE = re.compile(r"^```(python[^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))) if "```python" in page.read_text()]


def links(page):
    """Return the files that a page links to, existing or not."""
    return {(page.parent / target).resolve() for target in LINK.findall(FENCE.sub("", page.read_text()))}


def test_links_lead_to_files_and_the_index_to_all_pages():
    docs = [*(ROOT / "docs").glob("*.md")]
    assert {link for page in (ROOT / "README.md", *docs) for link in links(page) if not link.exists()} == set()
    assert {*docs} - links(ROOT / "docs" / "README.md") == {ROOT / "docs" / "README.md"}


@pytest.fixture(autouse=True)
def declarations_end_with_the_page():
    ops, functions, methods = dict(TABLE), dict(FUNCTIONS), set(dir(Tensor))
    yield
    for table, before in ((TABLE, ops), (FUNCTIONS, functions)):
        for name in set(table) - set(before):
            del table[name]
    for name in set(dir(Tensor)) - methods:
        delattr(Tensor, name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = page.read_text()
    namespace: dict = {"__name__": page.stem}
    for fence in FENCE.finditer(text):
        language, block = fence.groups()
        line = text[: fence.start()].count("\n") + 1
        assert language == "python", f"{page.name}:{line}: a block that does not run ({language!r})"
        if block.lstrip().startswith(">>>"):
            check_examples(block, namespace, page, line)
        else:
            exec(compile("\n" * line + block, str(page), "exec"), namespace)


@pytest.mark.slow
def test_the_page_on_training_is_pytorchs_but_for_names(torch, tmp_path, monkeypatch):
    pytest.importorskip("safetensors")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "training.md").read_text().replace("chainrule.serialization.safetensors", "safetensors.torch")
    namespace: dict = {"__name__": "training"}
    for fence in FENCE.finditer(text):
        exec(fence[2].replace("chainrule", "torch"), namespace)


def check_examples(block, namespace, page, line):
    example = doctest.DocTestParser().get_doctest(block, namespace, page.name, str(page), line)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    runner.run(example, out=report.append, clear_globs=False)
    namespace.update(example.globs)
    assert not runner.failures, "".join(report)

"""What the tests themselves stand on: every case of a name is run and told, and no mark of a module is lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests import each
from tests.each import by_name, run_each


def small(number):
    assert number < 3, "not small"


def test_every_failure_is_raised_with_its_name():
    with pytest.raises(ExceptionGroup, match="2 of 5 cases fail: 3, 4") as found:
        run_each(small, [0, 3, 1, 4, 2])
    assert [error.__notes__ for error in found.value.exceptions] == [["of 3"], ["of 4"]]


def test_one_failure_is_raised_itself():
    with pytest.raises(AssertionError, match="not small") as found:
        run_each(small, [0, 7])
    assert found.value.__notes__ == ["of 7"]


def test_a_test_is_skipped_where_all_its_cases_are():
    skip_even = lambda number: pytest.skip("even") if number % 2 == 0 else None
    run_each(skip_even, [1, 2])
    with pytest.raises(pytest.skip.Exception, match="2: even; 4: even"):
        run_each(skip_even, [2, 4])


@pytest.mark.parametrize(
    ("together", "ids"),
    [(1, ["a", "b", "c", "d", "a-rest", "b-rest", "c-rest"]), (3, ["a..c", "d", "a-rest..c-rest"])],
)
def test_no_case_is_lost_between_the_fast_set_and_the_slow(together, ids, monkeypatch):
    monkeypatch.setattr(each, "TOGETHER", together)
    items = [f"{name}{i}" for i in range(5) for name in "abc"] + ["d0"]
    mark = by_name("item", items, name=lambda item: item[0], fast=2)(small).pytestmark[0]
    fast = [item for p in mark.args[1] if not p.marks for item in p.values[0]]
    slow = [item for p in mark.args[1] if p.marks for item in p.values[0]]
    assert sorted(fast + slow) == sorted(items)
    assert [p.id for p in mark.args[1]] == ids
    assert fast == ["a0", "a1", "b0", "b1", "c0", "c1", "d0"]


@pytest.mark.parametrize("fast", [None, 0, 2])
def test_no_case_is_lost_between_the_slow_set_and_the_sweep(fast, monkeypatch):
    monkeypatch.setattr(each, "TOGETHER", 1)
    items = [f"{name}{i}" for i in range(40) for name in "abc"]
    made = by_name("item", items, name=lambda item: item[0], fast=fast, share=4)(small).pytestmark[0].args[1]
    of = lambda *marks: [item for p in made if tuple(m.name for m in p.marks) == marks for item in p.values[0]]
    assert sorted([*of(), *of("slow"), *of("sweep")]) == sorted(items)
    here = of() + of("slow")
    assert len(of()) == (len(here) if fast is None else 3 * fast)
    assert set(here) >= {"a0", "b0", "c0"}
    assert len(items) / 6 < len(here) < len(items) / 2.5
    fewer = by_name("item", items[:-30], name=lambda item: item[0], fast=fast, share=4)(small).pytestmark[0].args[1]
    swept = [item for p in fewer if p.marks and p.marks[-1].name == "sweep" for item in p.values[0]]
    assert set(swept) == set(of("sweep")) - set(items[-30:])


def test_no_module_gives_its_marks_twice():
    """The second `pytestmark` would replace the first, and a slow file would be in the fast set unseen."""
    for path in Path(__file__).parent.rglob("test_*.py"):
        assert len(re.findall("^pytestmark", path.read_text(), re.MULTILINE)) <= 1, path

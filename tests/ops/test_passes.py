"""The laws of the reverse pass, over the whole table: one pass, whatever looks on; it writes into its own buffers alone."""

from __future__ import annotations

import pytest

from chainrule.testing import cases, passes

CASES = list(cases(differentiable=True))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_watched_pass_gives_what_an_unwatched_one_gives(case):
    passes.watched_pass_gives_the_same(case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_pass_writes_into_its_own_buffers(case):
    passes.pass_writes_into_its_own_buffers(case)

"""The laws of the reverse pass, over the whole table: one pass, whatever looks on; it writes into its own buffers alone."""

from __future__ import annotations

from tests.each import by_name

from chainrule.testing import cases, passes

CASES = list(cases(differentiable=True))


@by_name("case", CASES, fast=2)
def test_watched_pass_gives_what_an_unwatched_one_gives(case):
    passes.watched_pass_gives_the_same(case)


@by_name("case", CASES, fast=2)
def test_pass_writes_into_its_own_buffers(case):
    passes.pass_writes_into_its_own_buffers(case)

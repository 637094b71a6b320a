"""Arenas: plans with large ones share memory, and no two runs have hold of the same."""

from __future__ import annotations

import gc
import threading
from weakref import ref

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler.llvm.arenas import SHARED, Block, block_for
from chainrule.compiler.llvm.executor import address


def test_large_arenas_share_a_block_that_holds_the_largest():
    small, large = block_for(100), block_for(SHARED)
    assert block_for(100) is not small
    assert block_for(3 * SHARED) is large
    assert large.memory.nbytes >= 3 * SHARED
    assert large.words.tolist() == [0, address(large.memory)]
    assert address(large.memory) % 64 == 0
    before = large.memory
    assert block_for(2 * SHARED) is large
    assert large.memory is before


def test_a_block_in_use_is_given_to_nobody_else():
    block = Block(100)
    first, second = block.take(100), block.take(100)
    assert not np.shares_memory(first, second)
    block.give(second)
    assert block.words[0] == 1
    block.give(first)
    assert block.take(100) is first


def test_memory_in_use_outlives_the_growth_of_its_block():
    block = Block(100)
    held = block.take(100)
    alive = ref(held)
    block.hold(1000)
    start = address(held)
    del held
    gc.collect()
    assert alive() is not None  # as native code knows its address only
    assert block.words.tolist() == [1, address(block.memory)]
    assert block.words[1] != start
    block.give(alive())
    block.hold(1000)
    gc.collect()
    assert alive() is None
    assert block.words[0] == 0


def made(layers):
    weights = [cr.randn(256, 256) / 16 for _ in range(layers)]

    def f(x):
        for w in weights:
            x = (x @ w).tanh()
        return x

    return f, cr.compile(f)


def test_plans_that_run_at_once_do_not_disturb_each_other():
    pytest.importorskip("llvmlite")
    pairs, wrong = [made(layers) for layers in (2, 3, 4, 3)], []
    xs = [cr.randn(1024, 256) for _ in pairs]
    expected = [f(x) for (f, _), x in zip(pairs, xs, strict=True)]
    for (_, compiled), x in zip(pairs, xs, strict=True):
        compiled(x)
    assert len({id(compiled._last.plan._arena) for _, compiled in pairs}) == 1

    def run(k):
        for _ in range(10):
            if not cr.allclose(pairs[k][1](xs[k]), expected[k], rtol=1e-4, atol=1e-5):
                wrong.append(k)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(len(pairs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong

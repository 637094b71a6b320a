"""How many threads large work takes, that of BLAS too."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import chainrule as cr
from chainrule.core.call import threads


def of_blas():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def restored():
    before, blas = threads._threads, max(of_blas())
    yield
    threadpool_limits(blas, user_api="blas")
    threads._threads = before


def test_the_number_is_blas_too():
    np.ones((2, 2)) @ np.ones((2, 2))
    for number in (1, 2):
        cr.set_num_threads(number)
        assert cr.get_num_threads() == number
        assert of_blas() == {number}


def test_the_environment_is_asked():
    code = "import chainrule as cr; print(cr.get_num_threads())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"OMP_NUM_THREADS": "3"}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "3\n"

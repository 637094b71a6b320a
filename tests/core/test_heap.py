"""What a step frees serves the next step: no page is asked of the kernel anew, unless the user has set glibc otherwise."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")

STEPS = """
import resource
import chainrule as cr

x = cr.ones(1 << 18)
faults = []
for _ in range(8):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    made = [x + 1 for _ in range(32)]
    del made
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(max(faults[-4:]))
"""


def faults(**settings):
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run([sys.executable, "-c", STEPS], env=ours | settings, capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_steps_take_over_the_pages_of_the_step_before():
    assert faults() < 100  # of 8192 pages, 32 MB


def test_settings_of_the_user_stand():
    assert faults(MALLOC_MMAP_THRESHOLD_="100000") > 8000

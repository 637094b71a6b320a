"""Values: on tensors as on arrays, as the reference gives, of the declared shape."""

from __future__ import annotations

import pytest

from chainrule.testing import cases, values


@pytest.mark.parametrize("case", cases(kinds="bifc"), ids=repr)
def test_tensors_give_what_arrays_give(case):
    values.tensors_give_what_arrays_give(case)


def test_value_is_the_reference():
    for case in cases(kinds="fc"):
        values.value_is_the_reference(case)

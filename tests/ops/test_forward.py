"""Values: on tensors as on arrays, as the reference gives, of the declared shape."""

from __future__ import annotations

from tests.each import by_name

from chainrule.testing import cases, values


@by_name("case", cases(kinds="bifc"))
def test_tensors_give_what_arrays_give(case):
    values.tensors_give_what_arrays_give(case)


def test_value_is_the_reference():
    for case in cases(kinds="fc"):
        values.value_is_the_reference(case)

"""The profiler's front end: what it sees, how it sums and prints; names and signatures are PyTorch's."""

from __future__ import annotations

import inspect
import json
import time

import pytest

import chainrule as cr
from chainrule.autograd.profiler import EnforceUnique, KinetoStepTracker, emit_itt, emit_nvtx, profile, record_function


def work(x):
    return (x @ x).sin().sum()


def names(prof):
    return [e.name for e in prof.function_events]


def leaf():
    return cr.rand(3, 3, requires_grad=True)


def test_ops_nodes_and_ranges_are_seen_in_order():
    x = leaf()
    with profile() as prof:
        with record_function("forward"):
            y = work(x)
        y.backward()
    assert names(prof) == ["forward", "mm", "sin", "sum", "SumBackward0", "SinBackward0", "MmBackward0"]
    first = prof.function_events[0]
    assert [c.name for c in first.cpu_children] == ["mm", "sin", "sum"]
    assert all(c.cpu_parent is first for c in first.cpu_children)
    assert x.grad is not None


@pytest.mark.parametrize("grad", [True, False])
def test_ops_are_seen_in_every_grad_mode(grad):
    x = leaf()
    with profile() as prof, cr.set_grad_enabled(grad):
        work(x)
    assert names(prof) == ["mm", "sin", "sum"]


def test_ops_are_seen_inside_transforms():
    with profile() as prof:
        cr.func.grad(work)(leaf().detach())
        cr.func.vmap(cr.exp)(cr.ones(2, 3))
        cr.func.jvp(cr.sin, (cr.ones(2),), (cr.ones(2),))
    assert {"mm", "sin", "sum", "SinBackward0", "MmBackward0", "exp"} <= set(names(prof))


def test_a_recorded_pass_shows_its_ops_inside_its_nodes():
    x = leaf()
    y = x.sin().sum()
    with profile() as prof:
        cr.autograd.grad(y, x, create_graph=True)
    (node,) = [e for e in prof.function_events if e.name == "SinBackward0"]
    assert {"cos", "mul"} <= {c.name for c in node.cpu_children}


def test_nothing_is_seen_before_or_after():
    x = leaf()
    work(x)
    with profile() as prof:
        pass
    work(x).backward()
    assert names(prof) == []
    assert cr.core.mode.state.modes().plain


def test_times_add_up():
    with profile() as prof, record_function("outer"):
        time.sleep(0.01)
        with record_function("inner"):
            time.sleep(0.02)
    outer, inner = prof.function_events
    assert 20e3 <= inner.cpu_time_total < outer.cpu_time_total
    assert outer.self_cpu_time_total == pytest.approx(outer.cpu_time_total - inner.cpu_time_total)
    assert prof.self_cpu_time_total == pytest.approx(outer.cpu_time_total)
    assert inner.time_range.elapsed_us() == inner.cpu_time == inner.self_cpu_time_total
    assert prof.total_average().count == 2


def test_averages_sum_by_name_and_shape():
    x, y = cr.ones(2), cr.ones(3)
    with profile(record_shapes=True) as prof:
        for t in (x, y, y):
            t.exp()
    (one,) = prof.key_averages()
    assert (one.key, one.count) == ("exp", 3)
    assert one.cpu_time == pytest.approx(one.cpu_time_total / 3)
    by_shape = prof.key_averages(group_by_input_shape=True)
    assert [(e.key, e.count, e.input_shapes) for e in by_shape] == [("exp", 1, [[2]]), ("exp", 2, [[3]])]


def test_stacks_name_the_users_lines():
    with profile(with_stack=True) as prof:
        work(leaf())
    assert all("test_profiler.py" in e.stack[0] and e.stack[0].endswith(": work") for e in prof.function_events)
    assert len(prof.key_averages(group_by_stack_n=2)) == 3


def test_tables():
    with profile(record_shapes=True) as prof:
        work(leaf())
    table = prof.key_averages(group_by_input_shape=True).table(sort_by="self_cpu_time_total", row_limit=2, header="mine")
    lines = table.splitlines()
    assert lines[0] == "mine"
    assert [title.strip() for title in lines[2].split("  ") if title.strip()] == [
        "Name", "Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg", "# of Calls", "Input Shapes",
    ]  # fmt: skip
    assert len(lines) == 1 + 3 + 2 + 2
    assert lines[-1].startswith("Self CPU time total: ")
    assert str(prof) == prof.table()
    with pytest.raises(AttributeError):
        prof.table(sort_by="nothing")


def test_traces_open_in_chrome(tmp_path):
    with profile() as prof:
        work(leaf())
    prof.export_chrome_trace(str(tmp_path / "trace.json"))
    trace = json.loads((tmp_path / "trace.json").read_text())
    assert [e["name"] for e in trace] == ["mm", "sin", "sum"]
    assert all(e["ph"] == "X" and e["dur"] > 0 for e in trace)


def test_errors_leave_ranges_closed():
    with pytest.raises(ZeroDivisionError), profile() as prof, record_function("fails"):
        raise ZeroDivisionError
    assert prof.function_events[0].cpu_time_total > 0
    assert cr.core.mode.state.modes().plain


def test_ranges_decorate():
    @record_function("mine")
    def f(x):
        return x.exp()

    with profile() as prof:
        f(cr.ones(1))
        f(cr.ones(1))
    assert names(prof) == ["mine", "exp", "mine", "exp"]


def test_results_wait_for_the_end():
    prof = profile()
    with pytest.raises(RuntimeError, match="Profiler didn't finish running"):
        prof.key_averages()
    with prof, pytest.raises(RuntimeError, match="Profiler context manager is not reentrant"):
        prof.__enter__()


def test_disabled_profiles_do_nothing():
    with profile(enabled=False) as prof:
        work(leaf())
    assert prof is None


@pytest.mark.parametrize(
    "option",
    [{"with_flops": True}, {"profile_memory": True}, {"with_modules": True}, {"use_device": "cuda"}, {"use_cpu": False}],
)
def test_what_is_not_supported_says_so(option):
    with pytest.raises(RuntimeError, match=f"profile\\({next(iter(option))}="):
        profile(**option)


def test_other_tools_say_that_they_are_not_there():
    for tool in (emit_nvtx, emit_itt):
        with tool(enabled=False):
            pass
        with pytest.raises(RuntimeError, match="does not emit"):
            tool()
    with pytest.raises(RuntimeError, match="nvprof"):
        cr.autograd.profiler.load_nvprof("file")


def test_small_helpers():
    unique = EnforceUnique()
    unique.see("a", 1)
    with pytest.raises(RuntimeError, match="duplicate key"):
        unique.see("a", 1)
    KinetoStepTracker.init_step_count("mine")
    assert KinetoStepTracker.increment_step("mine") == KinetoStepTracker.current_step()
    assert KinetoStepTracker.erase_step_count("mine")
    assert not KinetoStepTracker.erase_step_count("mine")


def test_signatures_are_pytorchs(torch):
    theirs = torch.autograd.profiler
    for name in ("emit_nvtx", "emit_itt", "record_function"):
        ours = inspect.signature(getattr(cr.autograd.profiler, name).__init__).parameters
        assert list(ours) == list(inspect.signature(getattr(theirs, name).__init__).parameters)
    known = set(inspect.signature(theirs.profile.__init__).parameters)
    assert set(inspect.signature(profile.__init__).parameters) <= known
    assert set(theirs.__all__) - set(cr.autograd.profiler.__all__) == {"parse_nvprof_trace", "MemRecordsAcc"}


def test_older_arguments_are_taken_as_in_pytorch():
    with cr.autograd.profiler.profile(use_cuda=False, experimental_config=None) as prof:
        cr.ones(2).exp()
    assert [e.key for e in prof.key_averages()] == ["exp"]
    with (
        pytest.warns(FutureWarning, match="`use_cuda` will be deprecated"),
        pytest.warns(UserWarning, match="CUDA is not available"),
    ):
        cr.autograd.profiler.profile(use_cuda=True)

"""`compile`: the forms of its call, what a compiled function is, and what it says where it cannot compile."""

from __future__ import annotations

import copy
import pickle
import threading
import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import planning
from chainrule.compiler.llvm.engine import UnavailableError


def close(found, expected):
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-6)
    assert found.dtype is expected.dtype


def counted(f):
    """Return a function, and what tells how often it itself was called, which replays are not."""
    ticks = threading.Semaphore(0)  # which a recording does not look at, as it does at a list

    def g(*args, **kwargs):
        ticks.release()
        return f(*args, **kwargs)

    return g, lambda: ticks._value


def test_function_is_run_once_and_replayed():
    f, calls = counted(lambda x: x.sin() * 2)
    run = cr.compile(f)
    for value in (1.0, 2.0, 3.0):
        x = cr.full((3,), value)
        close(run(x), x.sin() * 2)
    assert calls() == 1


@pytest.mark.parametrize(
    "again",
    [
        lambda run: run(cr.ones(4)), lambda run: run(cr.ones(3, dtype=cr.float64)), lambda run: run(cr.ones(3), k=3),
        lambda run: run(cr.ones(3), k=2.0), lambda run: run(cr.ones(3), k=True), lambda run: run([cr.ones(3)]),
        lambda run: run(cr.ones(6)[::2]), lambda run: run(cr.ones(3, requires_grad=True)),
        lambda run: cr.no_grad()(run)(cr.ones(3)),
    ],
    ids=["shape", "dtype", "number", "class", "bool", "structure", "strides", "requires grad", "grad mode"],
)  # fmt: skip
def test_other_arguments_and_modes_are_recorded_anew(again):
    f, calls = counted(lambda x, k=2: (x[0] if isinstance(x, list) else x) * k)
    run = cr.compile(f)
    run(cr.ones(3), k=2)
    run(cr.ones(3), k=2)
    assert calls() == 1
    again(run)
    again(run)
    assert calls() == 2


@pytest.mark.parametrize(("a", "b"), [(0.0, -0.0), (1, 1.0), (1, True), (0j, -0j)], ids=repr)
def test_numbers_that_are_equal_and_not_the_same_are_told_apart(a, b):
    run = cr.compile(lambda x, k: (x, repr(k)))
    for k in (a, b, a):
        assert run(cr.ones(1), k)[1] == repr(k)


def test_nan_among_the_arguments_is_recorded_once():
    f, calls = counted(lambda x, k: x * k)
    run = cr.compile(f)
    for _ in range(3):
        assert run(cr.ones(1), float("nan")).isnan().all()
    assert calls() == 1


def test_pytrees_go_in_and_out_as_they_are():
    def f(a, *rest, scale, **more):
        return {"sum": a["x"] + rest[0][1], "more": [more["y"], scale, "text", None], "self": a["x"]}

    run = cr.compile(f)
    for value in (1.0, 5.0):
        x, y = cr.full((2,), value), cr.full((2,), -value)
        out = run({"x": x}, (0, y), scale=2, y=y * 3)
        close(out["sum"], x + y)
        close(out["more"][0], y * 3)
        assert out["more"][1:] == [2, "text", None]
        assert out["self"] is x


def test_decorator_with_and_without_arguments():
    @cr.compile
    def f(x):
        """Say so."""
        return x + 1

    @cr.compile(fullgraph=True, mode="max-autotune")
    def g(x):
        return x + 1

    assert f.__name__ == "f"
    assert f.__doc__ == "Say so."
    assert f.__wrapped__(cr.ones(1)) == 2
    close(f(cr.ones(2)), g(cr.ones(2)))


def test_methods_are_compiled_for_each_object():
    class Scale:
        def __init__(self, k):
            self.k = k

        @cr.compile
        def times(self, x):
            return x * self.k

    two, three = Scale(2), Scale(3)
    for _ in range(2):
        assert two.times(cr.ones(1)).item() == 2
        assert three.times(cr.ones(1)).item() == 3


@pytest.mark.parametrize("disabled", [{"disable": True}])
def test_disabled_is_the_function(disabled):
    assert cr.compile(abs, **disabled) is abs


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"backend": "nothing"}, RuntimeError, "Invalid backend: 'nothing'"),
        ({"backend": lambda g, x: g}, NotImplementedError, "a backend is named"),
        ({"mode": "fast"}, RuntimeError, "Unrecognized mode=fast, should be one of"),
        ({"mode": "default", "options": {}}, RuntimeError, "Either mode or options can be specified, but both"),
        ({"options": {"nothing": 1}}, RuntimeError, "Unexpected optimization option nothing, known options are"),
        ({"options": {"paths": "2"}}, RuntimeError, "Unexpected type of attr paths, got str should be int"),
        ({"options": {"paths": 0}}, RuntimeError, "at least 1"),
        ({"recompile_limit": 0}, RuntimeError, "at least 1"),
        ({"shapes_spec": 1}, NotImplementedError, "shapes_spec"),
        ({"dynamic": "yes"}, TypeError, "dynamic"),
    ],
)
def test_options_that_cannot_be_honoured_raise(options, error, words):
    with pytest.raises(error, match=words):
        cr.compile(lambda x: x, **options)
    with pytest.raises(TypeError, match="expected a function or a Module"):
        cr.compile(3)


@pytest.mark.parametrize("backend", [*cr.compiler.list_backends(None)])
def test_backends_agree(backend):
    run = cr.compile(lambda x: x.exp().sum(), backend=backend)
    for _ in range(2):
        close(run(cr.ones(3)), cr.ones(3).exp().sum())


# -- values that are read ------------------------------------------------------------------------------------------------


def branches(x):
    return x.sin() if x.sum() > 0 else x.cos()


def halves(x):
    n = 0
    while x.norm() > 1:
        x, n = x / 2, n + 1
    return x, n


def early(x):
    total = x.sum() * 0
    for v in x:
        if v < 0:
            return total
        total = total + v * v
    return total


def by_item(x):
    return x * int(x[0].item())


def by_list(x):
    return x[: len([v for v in x.tolist() if v > 0])].sum()


def by_numpy(x):
    return x * float(np.abs(x.detach().numpy()).max())


@pytest.mark.parametrize("f", [branches, halves, early, by_item, by_list, by_numpy], ids=lambda f: f.__name__)
def test_python_that_reads_values_is_replayed_for_those_alone(f):
    data = [[1.0, 2, 3], [-1, -2, -3], [1, -2, 3], [1, 2, 3], [40, 50, 60], [-1, -2, -3], [0.1, 0.2, 0.3], [1, 2, 3]]
    run = cr.compile(f)
    for values in data:
        x, y = (cr.tensor(values, dtype=cr.float32, requires_grad=True) for _ in range(2))
        found, expected = run(x), f(y)
        if isinstance(found, tuple):
            assert found[1] == expected[1]
            found, expected = found[0], expected[0]
        close(found, expected)
        found.sum().backward()
        expected.sum().backward()
        close(x.grad, y.grad)


def test_paths_are_found_again_without_running_the_function():
    f, calls = counted(halves)
    run = cr.compile(f)
    for value in (1.0, 100.0, 10.0, 100.0, 1.0, 10.0, 100.0):
        run(cr.full((2,), value))
    assert calls() == 3


def test_too_many_paths_run_as_they_are_and_say_so_once():
    run = cr.compile(by_item, options={"paths": 3})
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for value in range(8):
            assert run(cr.full((2,), float(value)))[0].item() == value * value
    assert len(said) == 1
    assert "more than 3 paths" in str(said[0].message)


def test_too_many_specialisations_run_as_they_are_and_say_so_once():
    f, calls = counted(lambda x, k: x * k)
    run = cr.compile(f, recompile_limit=2)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for k in (0, 1, 2, 3, 0, 1):
            assert run(cr.ones(1), k).item() == k
    assert len(said) == 1
    assert "more than 2 ways" in str(said[0].message)
    assert calls() == 4


def test_dynamic_drops_the_oldest_record_instead():
    f, calls = counted(lambda x: x * 2)
    run = cr.compile(f, dynamic=True, recompile_limit=2)
    for n in (1, 2, 3, 3, 2, 1):
        assert run(cr.ones(n)).shape == (n,)
    assert calls() == 4


def test_fullgraph_raises_where_the_function_would_run_as_it_is():
    with pytest.raises(cr.compiler.CompileError, match="cannot be compiled whole"):
        cr.compile(lambda x, a: x + a.size, fullgraph=True)(cr.ones(1), np.zeros(10_000))


def test_random_numbers_are_drawn_as_eager_draws_them():
    def f(x):
        y = cr.nn.functional.dropout(x, 0.5)
        return y + cr.rand(4) if y.sum() > 4 else y

    def drawn(g):
        cr.manual_seed(3)
        return [g(cr.ones(4)).tolist() for _ in range(12)]

    assert drawn(cr.compile(f)) == drawn(f)


def test_errors_of_the_function_are_its_own():
    class Own(Exception):
        pass

    def f(x, k):
        if k:
            raise Own("no")
        return cr.linalg.cholesky(x)

    run = cr.compile(f)
    for _ in range(2):
        with pytest.raises(Own, match="no"):
            run(cr.eye(2), True)
    close(run(cr.eye(2), False), cr.eye(2))
    with pytest.raises(cr.linalg.LinAlgError):
        run(-cr.eye(2), False)
    with pytest.raises(RuntimeError, match="shapes|match|size"):
        cr.compile(lambda x, y: x @ y)(cr.ones(2, 3), cr.ones(2, 3))


# -- where it stands aside -----------------------------------------------------------------------------------------------


def test_inside_another_recording_the_function_is_part_of_that():
    f, calls = counted(lambda x: x.sin())
    inner = cr.compile(f)
    outer = cr.compile(lambda x: inner(x) * 2)
    for _ in range(3):
        close(outer(cr.ones(2)), cr.ones(2).sin() * 2)
    assert calls() == 1
    assert "sin" in repr(outer.graph)
    assert "mul" in repr(outer.graph)
    assert "sin" in repr(cr.func.trace(inner)(cr.ones(2)))


def test_anomaly_mode_saved_tensor_hooks_and_torch_function_modes_see_the_function_s_own_ops():
    seen = []

    class Noted(cr.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(func.__name__)
            return func(*args, **(kwargs or {}))

    run = cr.compile(lambda x: cr.exp(x))
    run(cr.ones(2))
    with Noted():
        run(cr.ones(2))
    assert "exp" in seen
    packed = []
    x = cr.ones(2, requires_grad=True)
    with cr.autograd.graph.saved_tensors_hooks(lambda t: packed.append(t) or t, lambda t: t):
        run(x)
    assert len(packed) == 1


def test_stances():
    f, calls = counted(lambda x: x + 1)
    run = cr.compile(f)
    with cr.compiler.set_stance("force_eager"):
        run(cr.ones(1))
        run(cr.ones(1))
    assert calls() == 2
    run(cr.ones(1))
    with cr.compiler.set_stance("fail_on_recompile"):
        run(cr.ones(1))
        with pytest.raises(RuntimeError, match="fail_on_recompile"):
            run(cr.ones(2))

    @cr.compiler.set_stance("force_eager")
    def forced():
        return run(cr.ones(1))

    n = calls()
    forced()
    assert calls() == n + 1
    with pytest.raises(RuntimeError, match="stance"):
        cr.compiler.set_stance("nothing")
    with pytest.raises(NotImplementedError):
        cr.compiler.set_stance(skip_guard_eval_unsafe=True)


def test_disable_runs_the_function_and_those_it_calls():
    f, calls = counted(lambda x: x + 1)
    run = cr.compile(f)
    run(cr.ones(1))

    @cr.compiler.disable
    def plain(x):
        return run(x)

    plain(cr.ones(1))
    cr.compiler.disable(run)(cr.ones(1))
    assert calls() == 3
    run(cr.ones(1))
    assert calls() == 3


def test_reset_forgets():
    f, calls = counted(lambda x: x + 1)
    run = cr.compile(f)
    for _ in range(2):
        run(cr.ones(1))
        cr.compiler.reset()
    assert calls() == 2
    with pytest.raises(RuntimeError, match="has not been called yet"):
        _ = run.graph


def test_the_torch_look_alike_has_the_same_objects():
    torch = cr.as_torch() if callable(getattr(cr, "as_torch", None)) and False else cr.torch
    for name in ("compile", "disable", "is_compiling", "reset", "set_stance", "allow_in_graph"):
        assert getattr(torch.compiler, name) is getattr(cr.compiler, name)


def test_threads_share_a_compiled_function():
    run = cr.compile(branches)
    wrong = []

    def work(sign):
        for k in range(20):
            x = cr.full((3,), sign * (1.0 + k % 3), requires_grad=True)
            y = run(x)
            y.sum().backward()
            expected = branches(x.detach())
            if not np.allclose(y.detach().numpy(), expected.numpy()):
                wrong.append((sign, k))

    threads = [threading.Thread(target=work, args=(s,)) for s in (1.0, -1.0, 1.0, -1.0)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_threads_share_parameters_that_one_records():
    net = cr.nn.Sequential(cr.nn.Linear(8, 8), cr.nn.Tanh(), cr.nn.Linear(8, 2))
    run, wrong = cr.compile(net), []

    def work(k):
        for n in range(1, 12):
            x = cr.full((n if k else 3, 8), 0.1 * k)
            if not np.allclose(run(x).detach().numpy(), np.asarray(expected[k][: len(x)]), atol=1e-6):
                wrong.append((k, n))

    expected = [net(cr.full((12, 8), 0.1 * k)).detach().numpy() for k in range(4)]
    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def recursive(x, n):
    return x if n == 0 else compiled_recursive(x * 2, n - 1)


compiled_recursive = cr.compile(recursive)


def test_recursion_and_pickling():
    for n in (0, 3, 3):
        assert compiled_recursive(cr.ones(1), n).item() == 2**n
    again = pickle.loads(pickle.dumps(cr.compile(branches)))
    close(again(cr.ones(2)), branches(cr.ones(2)))


@pytest.mark.parametrize("dim", [0, (0, 1)])
@pytest.mark.parametrize("keepdim", [False, True])
def test_logsumexp_of_nothing(dim, keepdim):
    out = cr.compile(cr.logsumexp, fullgraph=True)(cr.ones(0, 3), dim, keepdim)
    assert cr.equal(out, cr.logsumexp(cr.ones(0, 3), dim, keepdim))


# -- what can be seen ----------------------------------------------------------------------------------------------------


def test_every_stage_can_be_seen():
    pytest.importorskip("llvmlite")
    run = cr.compile(lambda x: (x.sin() * 2).sum())
    for name in ("graph", "ir", "asm", "timings"):
        with pytest.raises(RuntimeError, match="has not been called yet"):
            getattr(run, name)
    x = cr.ones(4, requires_grad=True)
    for _ in range(2):
        run(x).backward()
    assert "sin" in repr(run.graph)
    assert "define" in run.ir
    assert "ret" in run.asm
    assert {"record", "passes", "fuse", "backward fuse"} <= run.timings.keys()
    assert all(seconds >= 0 for seconds in run.timings.values())
    on_numpy = cr.compile(lambda x: x + 1, backend="eager")
    on_numpy(cr.ones(1))
    with pytest.raises(RuntimeError, match="op by op on NumPy: there is no code"):
        _ = on_numpy.ir


def test_without_llvmlite_plans_run_on_numpy_and_say_so_once(monkeypatch):
    def unavailable(*_):
        raise UnavailableError("llvmlite is not installed")

    monkeypatch.setattr(planning, "native_plan", unavailable)
    monkeypatch.setattr(planning, "_told", set())
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for f in (branches, halves):
            run = cr.compile(f)
            for value in (1.0, -1.0, 2.0):
                found, expected = run(cr.full((2,), value)), f(cr.full((2,), value))
                close(*((found[0], expected[0]) if isinstance(found, tuple) else (found, expected)))
    assert len(said) == 1
    assert "op by op on NumPy" in str(said[0].message)


# -- modules -------------------------------------------------------------------------------------------------------------


def test_module_is_the_original_in_all_else():
    net = cr.nn.Sequential(cr.nn.Linear(3, 4), cr.nn.Tanh(), cr.nn.Linear(4, 2))
    run = cr.compile(net)
    assert isinstance(run, cr.nn.Module)
    assert run._orig_mod is net
    assert len(run) == 3
    assert run[0] is net[0]
    assert [p is q for p, q in zip(run.parameters(), net.parameters(), strict=True)] == [True] * 4
    assert list(run.state_dict()) == [f"_orig_mod.{k}" for k in net.state_dict()]
    run.extra = 5
    assert net.extra == 5
    assert run.extra == 5
    run.eval()
    assert not net.training
    assert not run.training
    run.train()
    for _ in range(3):
        x = cr.randn(5, 3)
        close(run(x), net(x))
    assert isinstance(copy.deepcopy(run), type(run))
    close(pickle.loads(pickle.dumps(run))(x), net(x))


def test_module_s_gradients_go_to_its_parameters():
    net = cr.nn.Linear(3, 2)
    other = copy.deepcopy(net)
    run = cr.compile(net)
    for _ in range(3):
        x = cr.randn(4, 3)
        run(x).pow(2).sum().backward()
        other(x).pow(2).sum().backward()
        close(net.weight.grad, other.weight.grad)
        close(net.bias.grad, other.bias.grad)


def test_module_compiles_in_place():
    net = cr.nn.Linear(3, 2)
    x = cr.randn(4, 3)
    expected = net(x)
    assert net.compile() is None
    for _ in range(3):
        close(net(x), expected)
    close(copy.deepcopy(net)(x), expected)
    assert "_compiled_call_impl" not in net.__getstate__()


def test_modes_of_a_module_are_told_apart():
    net = cr.nn.Sequential(cr.nn.Dropout(0.5))
    run = cr.compile(net)
    for _ in range(2):
        net.train()
        assert set(run(cr.ones(64)).tolist()) == {0.0, 2.0}
        net.eval()
        assert set(run(cr.ones(64)).tolist()) == {1.0}


def test_checks_of_indices_that_were_computed_are_no_guards_on_the_indices():
    f, calls = counted(lambda tokens, table, x: cr.nn.functional.cross_entropy(x[:-1] + table[tokens[1:]].sum(), tokens[1:]))
    g, calls_of_rows = counted(lambda tokens, table: cr.nn.functional.embedding(tokens.view(-1), table).sum())
    run, rows = cr.compile(f), cr.compile(g)
    for seed in range(6):
        tokens = cr.tensor(np.random.default_rng(seed).integers(0, 4, 5))
        x, table = cr.ones(5, 4), cr.arange(4.0).reshape(4, 1)
        close(run(tokens, table, x), f(tokens, table, x))
        close(rows(tokens, table), g(tokens, table))
    assert calls() <= 8
    assert calls_of_rows() <= 8
    with pytest.raises(IndexError, match="index out of range"):
        rows(cr.tensor([0, 9, 1, 2, 3]), cr.ones(4, 1))

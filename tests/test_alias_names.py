"""The look-alike's names beside mathematics: lists of tensors, a program's own ops, points of a Sobol' sequence, checks."""

from __future__ import annotations

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.functions import lists
from chainrule.torch import absent, library, ops, quasirandom, symbolic

X, Y = ([0.3, 0.5], [0.7, 0.2, 0.9]), ([0.4, 0.5], [0.1, 0.6, 0.8])


def both(torch, name, *arguments):
    """Return what a function of lists gives, or how it fails, in PyTorch and in chainrule."""

    def made(lib, given):
        if isinstance(given, tuple):
            return [lib.tensor(row) for row in given]
        return lib.tensor(given.tolist()) if isinstance(given, np.ndarray) else given

    found = []
    for lib in (torch, cr):
        args = [made(lib, given) for given in arguments]
        try:
            out = getattr(lib, name)(*args)
        except RuntimeError as error:
            found.append(str(error)[:40])
        else:
            written = args[0] if isinstance(args[0], list) else []
            found.append((type(out), [t.numpy() for t in out], [t.numpy() for t in written]))
    return found


def cases(name):
    if name in ("addcdiv", "addcmul"):
        return [(X, Y, X), (X, Y, X, 2.0), (X, Y, X, [2.0, 3.0]), (X, Y, X, np.array([2.0, 3.0])), (X, Y, (X[0],))]
    if name == "lerp":
        return [(X, Y, 0.5), (X, Y, [0.5, 0.2]), (X, Y, Y)]
    if name == "mm":
        return [(([[1.0, 2.0]],), ([[1.0], [2.0]],))]
    if name == "copy":
        return [(X, Y)]
    if name in lists.BINARY or name in ("maximum", "minimum"):
        return [(X, Y), (X, 2.0), (X, [2.0, 3.0]), (X, [2.0]), (X, (Y[0],)), ((), 2.0)]
    return [(X,), ((),)]


@pytest.mark.parametrize("name", lists.NAMES)
def test_functions_of_lists_are_pytorchs(torch, name):
    more = [(2.0, X)] if name == "_foreach_pow" else []
    for arguments in cases(name[9:].rstrip("_")) + more:
        theirs, ours = both(torch, name, *arguments)
        assert type(theirs) is type(ours), (theirs, ours)
        if isinstance(theirs, str):
            assert theirs == ours
        else:
            assert theirs[0] is ours[0]
            for a, b in zip(theirs[1] + theirs[2], ours[1] + ours[2], strict=True):
                np.testing.assert_allclose(b, a, rtol=1e-5)


def test_all_functions_of_lists_are_there(torch):
    assert sorted(lists.NAMES) == sorted(name for name in dir(torch) if name.startswith("_foreach_"))


def test_functions_of_lists_have_derivatives():
    x = [cr.tensor([1.0, 2.0], requires_grad=True), cr.tensor(3.0, requires_grad=True)]
    cr._foreach_norm(cr._foreach_mul(x, x))[0].backward()
    np.testing.assert_allclose(x[0].grad, [2 * 1 / 17**0.5, 2 * 8 / 17**0.5], rtol=1e-6)
    assert x[1].grad is None


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(library, "REGISTRY", {})
    monkeypatch.setattr(ops, "REGISTRY", library.REGISTRY)


def cube():
    @library.custom_op("mine::cube", mutates_args=())
    def cube(x: cr.Tensor, scale: float = 1.0, *, shift: float = 0.0) -> cr.Tensor:
        return x**3 * scale + shift

    def keep(ctx, inputs, output, keyword_only_inputs):
        assert keyword_only_inputs.keys() == {"shift"}
        ctx.save_for_backward(inputs[0])
        ctx.scale = inputs[1]

    cube.register_autograd(lambda ctx, g: (3 * ctx.saved_tensors[0] ** 2 * ctx.scale * g, None), setup_context=keep)
    return cube


def test_an_op_of_ones_own_is_called_and_differentiated(registry):
    f = cube()
    assert ops.mine.cube is f.default is f
    x = cr.tensor(2.0, requires_grad=True)
    y = f(x, scale=2.0, shift=1.0)
    y.backward()
    assert (y.item(), x.grad.item()) == (17.0, 24.0)
    assert cr.func.grad(f)(cr.tensor(2.0)).item() == 12
    f.register_vmap(lambda info, in_dims, x, *rest, **more: (x**3, in_dims[0]))
    assert cr.func.vmap(f)(cr.tensor([1.0, 2.0])).tolist() == [1, 8]


def test_an_op_without_a_derivative_says_so(registry):
    f = library.custom_op("mine::twice", lambda x: 2 * x, mutates_args=())
    with pytest.raises(RuntimeError, match="Trying to backward through mine::twice.default but no autograd formula"):
        f(cr.ones((), requires_grad=True)).backward()


def test_ops_are_defined_and_given_kernels(registry):
    lib = library.Library("mine", "DEF")
    lib.define("add_into(Tensor(a!) x, float by) -> ()")
    with pytest.raises(NotImplementedError, match="no kernel for the CPU"):
        ops.mine.add_into(cr.ones(2), 1.0)
    lib.impl("add_into", lambda x, by: x.add_(by), "CPU")
    lib.impl("add_into", lambda x, by: 1 / 0, "CUDA")
    x = cr.ones(2)
    ops.mine.add_into(x, 2.0)
    assert x.tolist() == [3, 3]
    for bad, error in [(lambda: library.custom_op("cube", cube, mutates_args=()), ValueError),
                       (lambda: library.impl("mine::none", "cpu", cube), RuntimeError),
                       (lambda: ops.mine.none, AttributeError), (lambda: ops.aten.none, AttributeError),
                       (lambda: ops.mine.add_into.register_autograd(cube), RuntimeError),
                       (lambda: ops.load_library("x.so"), OSError)]:  # fmt: skip
        with pytest.raises(error):
            bad()


def test_inner_names_of_ops_are_functions():
    assert ops.aten.mul.Tensor(cr.ones(2), 3).tolist() == [3, 3]
    assert ops.aten.exp.default.op is cr.exp.op


def test_points_of_sobol_are_pytorchs(torch):
    ours, theirs = quasirandom.SobolEngine(5), torch.quasirandom.SobolEngine(5)
    for engine in (ours, theirs):
        engine.fast_forward(3)
    np.testing.assert_array_equal(ours.draw(6), theirs.draw(6))
    np.testing.assert_array_equal(ours.reset().draw_base2(3), theirs.reset().draw_base2(3))
    assert ours.draw(2, dtype=cr.float64).dtype == cr.float64
    assert repr(quasirandom.SobolEngine(2, scramble=True, seed=1)) == "SobolEngine(dimension=2, scramble=True, seed=1)"
    scrambled = [quasirandom.SobolEngine(2, scramble=True, seed=1).draw(4) for _ in range(2)]
    assert scrambled[0].equal(scrambled[1])
    assert 0.0 not in scrambled[0]
    out = cr.empty(0)
    assert quasirandom.SobolEngine(2).draw(4, out=out) is out
    assert out.shape == (4, 2)
    for bad in (lambda: quasirandom.SobolEngine(0), lambda: quasirandom.SobolEngine(2).fast_forward(3).draw_base2(2)):
        with pytest.raises(ValueError):
            bad()


def test_checks_and_sizes(torch):
    def check(lib):
        assert (lib.sym_int(2.7), lib.sym_max(2, 3), lib.sym_not(True), lib.sym_ite(False, 1, 2), lib.sym_float(2)) == (
            2, 3, False, 2, 2.0)  # fmt: skip
        lib._check(True)
        for call, error, words in [
            (lambda: lib._check(False, lambda: "why"), RuntimeError, "why"),
            (lambda: lib._check(False), RuntimeError, "Expected cond to be True, but got False"),
            (lambda: lib._check_value(False), ValueError, "Expected cond"),
            (lambda: lib._check(lib.tensor(True)), TypeError, "cond must be a bool, but got a Tensor"),
            (lambda: lib._check_tensor_all(lib.tensor([True, False]), lambda: "bad"), RuntimeError, "bad"),
            (lambda: lib._assert(False, "no"), AssertionError, "no"),
            (lambda: lib._assert_async(lib.tensor(0)), RuntimeError, "Expected Tensor with single nonzero value"),
        ]:
            with pytest.raises(error, match=re.escape(words)):
                call()

    check(cr)
    check(torch)
    with pytest.raises(NotImplementedError, match=r"torch\.SymInt: sizes are Python's numbers"):
        symbolic.SymInt(3)


def test_modules_without_counterpart_name_a_reason():
    assert all(absent.reason(path) for path in absent.names())
    error = absent.module("_dynamo.exc").Unsupported
    assert issubclass(error, Exception)
    with pytest.raises(AttributeError, match="here: compile makes native code in its own way"):
        _ = absent.module("_dynamo.exc").no_such_name


def test_settings_of_dynamo_begin_as_pytorchs(torch):
    import torch._dynamo as theirs

    for name, default in vars(cr._dynamo.config).items():
        assert getattr(theirs.config, name) == default, name
    for lib in (cr, torch):
        with pytest.raises(AttributeError, match=r"torch\._dynamo\.config\.nothing does not exist"):
            lib._dynamo.config.nothing = 1
        config = lib._dynamo.config
        with config.patch("verbose", True), config.patch({"specialize_int": True}), config.patch(trace_numpy=False):
            assert (config.verbose, config.specialize_int, config.trace_numpy) == (True, True, False)
        assert (config.verbose, config.specialize_int, config.trace_numpy) == (False, False, True)


def test_settings_of_dynamo_that_mean_something_here_are_in_force():
    config = cr._dynamo.config
    runs = []
    f = cr.compile(lambda x: runs.append(1) or x + 1)
    with config.patch(recompile_limit=2):
        assert config.cache_size_limit == 2
        f(cr.ones(1)), f(cr.ones(2))
        with pytest.warns(UserWarning, match="more than 2 ways"):
            f(cr.ones(3))
    runs.clear()
    with config.patch(disable=True):
        assert (config.disable, config.error_on_recompile) == (True, False)
        f(cr.ones(1)), f(cr.ones(1))
    assert len(runs) == 2
    with config.patch(error_on_recompile=True), pytest.raises(RuntimeError, match="recompile"):
        f(cr.ones(3))
    assert (config.disable, config.error_on_recompile) == (False, False)


def test_schedules_of_profiles_are_pytorchs(torch):
    from chainrule.torch.profiler import schedule

    rng = np.random.default_rng(0)
    for _ in range(50):
        names = ("wait", "warmup", "active", "repeat", "skip_first", "skip_first_wait")
        options = dict(zip(names, map(int, rng.integers([0, 1, 1, 0, 0, 0], [4, 4, 5, 3, 3, 2])), strict=True))
        ours, theirs = schedule(**options), torch.profiler.schedule(**options)
        assert [ours(step).name for step in range(30)] == [theirs(step).name for step in range(30)], options
    with pytest.raises(AssertionError, match="Invalid profiler schedule"):
        schedule(wait=0, warmup=1, active=0)
    with pytest.warns(UserWarning, match="won't be using warmup"):
        schedule(wait=0, warmup=0, active=1)


@pytest.mark.parametrize(("acc_events", "count"), [(False, 2), (True, 4)])
def test_profiles_follow_their_schedules(acc_events, count):
    from chainrule.torch import profiler

    found = []
    plan = profiler.schedule(wait=1, warmup=1, active=2, repeat=2)
    with profiler.profile(schedule=plan, on_trace_ready=lambda p: found.append(p.step_num), acc_events=acc_events) as prof:
        for _ in range(10):
            cr.ones(3).exp()
            prof.step()
    assert found == [4, 8]  # as PyTorch's
    assert sum(e.name == "exp" for e in prof.events()) == count


def test_profiles_are_written_and_say_what_is_not_there(tmp_path):
    from chainrule.torch import profiler

    with profiler.profile(on_trace_ready=profiler.tensorboard_trace_handler(tmp_path / "logs", "me")) as prof:
        cr.ones(3).exp()
    assert "exp" in prof.key_averages().table()
    assert '"exp"' in next((tmp_path / "logs").glob("me.*.pt.trace.json")).read_text()
    with pytest.warns(UserWarning, match="CUDA is not available, disabling CUDA profiling"):
        profiler.profile(activities=[profiler.ProfilerActivity.CUDA])
    with pytest.raises(RuntimeError, match="profile_memory=True"):
        profiler.profile(profile_memory=True)
    with pytest.raises(AssertionError, match="nothing was recorded"):
        profiler.profile().events()


def test_norms_of_lists_take_their_power_by_name_and_by_place(torch):
    found = []
    for which in (torch, cr):
        x, norm = [which.tensor([3.0, -4.0]), which.tensor([1.0, 2.0])], which._foreach_norm
        calls = norm(x), norm(x, 1), norm(x, ord=1), norm(x, ord=float("inf"), dtype=which.float64)
        found.append([[(n.item(), n.element_size()) for n in norms] for norms in calls])
    assert found[0] == found[1]

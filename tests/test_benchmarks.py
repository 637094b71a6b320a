"""The benchmarks run, and every library computes the same in them; no time is judged here. All in the slow set."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from benchmarks import compiled, compilers, kernels, modes, passes
from benchmarks.__main__ import main
from benchmarks.cases import CASES, SMALL
from benchmarks.compare import assert_equal
from benchmarks.costs import PROGRAMS, steps_of
from benchmarks.libraries import PEERS, load
from benchmarks.table import duration, table
from benchmarks.timing import QUICK, interleaved, ratio
from benchmarks.transforms import CASES as CASES_OF_TRANSFORMS

pytestmark = pytest.mark.slow
LARGE = {*kernels.PROGRAMS, *passes.LARGE, "LSTM of 2 layers, 1,024 steps"}
SOME_NETWORKS, OTHER_NETWORKS = ["perceptron of tanh", "transformer block"], ["perceptron of ReLU", "convolutions"]
PARTS = ["chains", "perceptrons", "inputs", "outputs", "imports"]


def results(case, library, steps=2):
    step, read = case.build(library)
    for _ in range(steps):
        returned = step()
    return [library.read(value) for value in read(returned)]


@pytest.fixture(scope="module")
def ours():
    (library,), _ = load(())
    return library


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_runs_in_chainrule(case, ours):
    found = results(case, ours)
    assert len(found) >= 2
    assert all(array.dtype == "float32" for array in found)


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_peers_compute_the_same(case, peer, ours):
    pytest.importorskip(peer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (_, *peers), _ = load((peer,))
        for library in peers:
            assert_equal(results(case, library), results(case, ours), f"{case.name} in {library.name}")


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name not in LARGE])
def test_program_runs_in_chainrule(name, ours):
    assert all(np.isfinite(ours.read(value)).all() for value in steps_of(name, [ours])["chainrule"]())


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_gives_the_same_in_torch(name):
    pytest.importorskip("torch")
    assert len(steps_of(name, load(("torch",))[0])) == 2


def test_costs_print_a_row_per_program(capsys):
    main(["costs", "--quick", "--peers", "", "--only", "RK4", "made once"])
    printed = capsys.readouterr().out
    assert "RK4 of 6 equations" in printed
    assert "x*y + y**2" in printed
    assert "LSTM" not in printed
    with pytest.raises(SystemExit, match="no program is named like nonsense"):
        main(["costs", "--quick", "--peers", "", "--only", "nonsense"])


def test_estimates_print_what_is_said_beside_what_is_seen(capsys):
    main(["estimates", "--only", "gaussian"])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("gaussian_process,")]
    assert len(rows) == 4
    assert all(0.9 < float(row.split()[-1]) < 1.1 for row in rows)
    with pytest.raises(SystemExit, match="no program is named like that"):
        main(["estimates", "--only", "nonsense"])


def test_budgets_hold(capsys):
    main(["budgets", "--quick", "--markdown", "--only", "recurrent"])
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("| recurrent")]
    assert len(rows) == 4
    assert all(float(row[4]) <= float(row[3]) for row in rows if row[5].strip())
    with pytest.raises(SystemExit, match="no program is named like that"):
        main(["budgets", "--quick", "--only", "nonsense"])


def test_explained_prints_a_row_per_planted_program(capsys):
    pytest.importorskip("torch")
    main(["explained", "--peers", "torch", "--only", "weir", "pairs", "teacher", "forgotten"])
    printed = capsys.readouterr().out
    (pairs,) = [line for line in printed.splitlines() if line.startswith("spring_energy")]
    assert pairs.count("SqrtBackward0, line") == 2
    assert "forgotten_layer" in printed
    with pytest.raises(SystemExit, match="the planted programs are flow_over_a_weir"):
        main(["explained", "--only", "nonsense"])


@pytest.mark.slow
def test_safe_counts_the_traps_that_each_library_gets_right(capsys):
    pytest.importorskip("torch")
    main(["safe", "--quick", "--peers", "torch", "--only", "root", "padded"])
    printed = capsys.readouterr().out
    (ours,) = [line for line in printed.splitlines() if line.startswith("chainrule, safe")]
    (theirs,) = [line for line in printed.splitlines() if line.startswith("torch") and line[-1] in "012" and "==" not in line]
    assert ours.split()[-4:] == ["2", "2", "2", "2"]
    assert theirs.split()[-4:] == ["1", "1", "1", "0"]
    with pytest.raises(SystemExit, match="the traps are root"):
        main(["safe", "--only", "nonsense"])


def test_sparse_prints_the_families_beside_the_dense_derivative(capsys):
    main(["sparse", "--quick", "--peers", "", "--only", "arrow", "rosen"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith(("arrow", "rosenbrock"))]
    assert [f"{row[0]} {row[3]}" for row in rows] == [
        "arrow chainrule",
        "arrow chainrule,",
        "rosenbrock chainrule",
        "rosenbrock chainrule,",
    ]
    assert {row[2] for row in rows} == {"58"}
    assert [row[-1] == "x)" for row in rows] == [True, False] * 2  # of the dense derivative
    with pytest.raises(SystemExit, match="the families are tridiagonal, arrow"):
        main(["sparse", "--only", "nonsense"])


@pytest.mark.parametrize("network", [*SOME_NETWORKS, *[pytest.param(n, marks=pytest.mark.sweep) for n in OTHER_NETWORKS]])
def test_memory_is_no_more_than_a_fifth_above_pytorch(network, capsys):
    pytest.importorskip("torch")
    main(["memory", "--peers", "torch", "--markdown", "--only", network])
    shown = capsys.readouterr().out.splitlines()
    rows = [line for line in shown if ": " in line and line.startswith("|") and "---" not in line]
    assert len(rows) == 3
    assert all(float(row.split("|")[-2]) <= 1.2 for row in rows), rows


SMOKE = ["chainrule", "eager", "torch", "jax.jit", "drjit"]  # PyTorch's compiler takes half a minute a case


@pytest.mark.parametrize("name", [name for name in compiled.CASES if "10,001" not in name and "n 10,000" not in name])
def test_compiled_case_runs_and_gives_the_same_in_every_library(name):
    case, expected = compiled.CASES[name], None
    for who in [who for who in SMOKE if who in case.libraries]:
        try:
            library = compilers.load(who)
        except (ImportError, RuntimeError):  # not installed, or no libLLVM for Dr.Jit
            continue
        step, read = case.build(library)
        for _ in range(2):
            found = [library.read(value) for value in read(step())]
        expected = expected or found
        compilers.same(found, expected, f"{name} in {who}", case.rounding)


def test_compiled_prints_first_and_warm_calls_and_costs(capsys):
    main(["compiled", "--quick", "--peers", "chainrule,eager", "--only", "100 operations", "--limit", "60"])
    printed = capsys.readouterr().out
    assert printed.count("100 operations on a number") == 3
    assert "left out" not in printed
    main(["compiled", "--quick", "--peers", "chainrule,eager", "--only", "100 operations", "--limit", "0.01"])
    assert "chainrule: > 0 s" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no case is named like nonsense"):
        main(["compiled", "--only", "nonsense"])


def test_disagreement_is_found(ours):
    found = results(SMALL, ours)
    with pytest.raises(AssertionError):
        assert_equal([found[0] * 1.001, *found[1:]], found, "planted")
    with pytest.raises(AssertionError):
        assert_equal(found[1:], found, "planted")


def test_every_step_is_timed_in_every_round():
    calls = {"a": 0, "b": 0}

    def step(name):
        calls[name] += 1

    times = interleaved({name: lambda name=name: step(name) for name in calls}, QUICK)
    assert {len(found) for found in times.values()} == {QUICK.rounds}
    assert min(calls.values()) > QUICK.rounds
    assert ratio(times, "a", "a") == 1


def test_comparison_prints_a_row_per_case(capsys):
    main(["--quick", "--peers", "", "--only", "sines", "y**2"])
    printed = capsys.readouterr().out
    assert "100 sines of a scalar" in printed
    assert "x*y + y**2" in printed
    assert "multipl" not in printed


def test_transforms_print_a_row_per_case(capsys):
    main(["transforms", "--quick", "--peers", ""])
    printed = capsys.readouterr().out
    assert all(name in printed for name in CASES_OF_TRANSFORMS)
    with pytest.raises(SystemExit, match="no case is named like that"):
        main(["transforms", "--quick", "--peers", "", "--only", "nonsense"])


@pytest.mark.parametrize("peer", ["torch", "jax"])
def test_transforms_of_peers_give_the_same(peer, capsys):
    pytest.importorskip(peer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main(["transforms", "--quick", "--peers", peer])
    assert capsys.readouterr().out.count("Jacobian, ") == 2


def test_curves_of_both_modes_are_drawn(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(modes, "SIZES", (1, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # matplotlib's own
        modes.main(["--quick", "--folder", str(tmp_path)])
    assert {p.name for p in tmp_path.iterdir()} == {"modes-inputs.svg", "modes-outputs.svg"}
    assert capsys.readouterr().out.count("forward") == 2


@pytest.mark.parametrize("part", PARTS)
def test_scaling_prints_its_part(part, capsys):
    main(["scaling", "--quick", "--markdown", "--only", part])
    assert capsys.readouterr().out.count("\n|") >= 4


def test_chains_leave_nothing(capsys):
    main(["scaling", "--quick", "--only", "chains"])
    assert capsys.readouterr().out.count("0 of 4") == 2


def test_import_loads_nothing_heavy(capsys):
    main(["scaling", "--quick", "--only", "imports"])
    assert capsys.readouterr().out.rstrip().endswith("none")


def test_unknown_names_are_refused():
    with pytest.raises(SystemExit, match="no case is named like nonsense"):
        main(["--quick", "--peers", "", "--only", "nonsense"])
    with pytest.raises(SystemExit):
        main(["--peers", "nonsense"])
    with pytest.raises(SystemExit, match="no network is named like that"):
        main(["memory", "--only", "nonsense"])


def test_durations_have_three_digits():
    found = [duration(t) for t in (1.5, 0.0123, 999.9e-6, 4.56e-6, 7.8e-8)]
    assert found == ["1.50 s", "12.3 ms", "1.00 ms", "4.56 us", "78.0 ns"]


def test_table_aligns_numbers_to_the_right():
    rows = [["a", "10"], ["bb", "9"]]
    assert table(["case", "t"], rows).splitlines() == ["case   t", "----  --", "a     10", "bb     9"]
    assert table(["case", "t"], rows, markdown=True).splitlines() == [
        "| case |  t |",
        "| ---- | -: |",
        "| a    | 10 |",
        "| bb   |  9 |",
    ]

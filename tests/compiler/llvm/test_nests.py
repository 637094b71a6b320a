"""Nests of every shape: native code = `Nest.run`, however outer points are split, for every number of lanes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from tests.compiler.llvm.native import Native

from chainrule.compiler.loops.nest import Apply, Axis, Expr, Load, Nest, Number, Place, Reduced, Reduction, Stage, Store

F4, F8, I8, BOOL = [np.dtype(d) for d in ("f4", "f8", "i8", "?")]
AROUND = 70


def wide(*cases: object) -> list:
    """Return cases of the slow set."""
    return [pytest.param(case, marks=pytest.mark.slow) for case in cases]


@pytest.fixture(params=[64, *wide(32, 16, 4)])
def width(request):
    """Return the bytes of vector registers."""
    return request.param


def at(param: int, strides: tuple[int, ...], d: np.dtype = F4, offset: int = 0, **more: object) -> Load:
    """Return a load."""
    guard = more.pop("guard", None)
    return Load(Place(param, strides, offset, **more), d, guard)


def op(name: str, *args: Expr, d: np.dtype | None = None) -> Apply:
    """Return a primitive in the dtype of its last operand, or in another."""
    return Apply(name, args, args[-1].dtype if d is None else d)


def filled(d: np.dtype, n: int, seed: int = 0) -> np.ndarray:
    """Return random memory."""
    random = np.random.default_rng(seed)
    if d.kind == "f":
        return random.normal(size=n).astype(d)
    return random.integers(0, 2 if d.kind == "b" else 100, n).astype(d)


def agree(nest: Nest, sizes: list[int], width: int, splits: tuple[int, ...] = (1, 3), exact: bool = True) -> None:
    """Check a nest on random memory of given sizes, with outer points in so many pieces; what lies around it stays as it is."""
    memory = [filled(d, n + 2 * AROUND, i) for i, (d, n) in enumerate(zip(nest.params, sizes, strict=True))]
    expected = [m.copy() for m in memory]
    nest.run([m[AROUND:-AROUND] for m in expected])
    points, native = int(np.prod(nest.outer, dtype=int)), Native(nest, width)
    for pieces in splits:
        found = [m.copy() for m in memory]
        cuts = [points * i // pieces for i in range(pieces + 1)]
        native([m[AROUND:-AROUND] for m in found], *itertools.pairwise(cuts))
        for x, y in zip(found, expected, strict=True):
            if exact or x.dtype.kind != "f":
                assert x.tobytes() == y.tobytes(), (nest, pieces)
            else:
                np.testing.assert_allclose(x, y, rtol=2e-6 if x.dtype == F4 else 1e-14, atol=2e-5 if x.dtype == F4 else 1e-13)


@pytest.mark.parametrize("n", [0, 1, 17, 130, *wide(2, 3, 5, 8, 15, 16, 31, 32, 33, 64, 65)])
def test_every_length_has_its_remainder(n, width):
    x = at(0, (1,))
    agree(
        Nest((n,), [Stage((), (), [Store(Place(1, (1,)), op("add", x, op("mul", x, Number(3, F4))))])], [F4, F4]),
        [n + 3, n + 3],
        width,
    )


@pytest.mark.parametrize("s", [1, -1, 2, 0, *wide(-3, 7)])
@pytest.mark.parametrize("t", [1, -1, 2])
@pytest.mark.parametrize("d", [F4, *wide(F8, BOOL, np.dtype("i2"))], ids=str)
def test_strides_of_loads_and_stores(s, t, d, width):
    n = 37
    load = at(0, (s,), d, offset=max(0, -s * (n - 1)))
    value = op("invert", load) if d == BOOL else op("add", load, load)
    agree(Nest((n,), [Stage((), (), [Store(Place(1, (t,), max(0, -t * (n - 1))), value)])], [d, d]), [n * 7, n * 2], width)


@pytest.mark.parametrize("strides", [(60, 1), (1, 5), (0, 1), *wide((1, 0), (-12, 1), (24, 2), (0, 0))])
@pytest.mark.parametrize("shape", [(5, 12), (3, 40), *wide((12, 5), (40, 1), (1, 33))])
def test_rows_of_two_axes(strides, shape, width):
    low = sum([min(0, s * (n - 1)) for s, n in zip(strides, shape, strict=True)])
    x = at(0, strides, offset=-low)
    out = Store(Place(1, (shape[1], 1)), op("sub", x, at(2, (0, 1))))
    agree(Nest(shape, [Stage((), (), [out])], [F4, F4, F4]), [4000, shape[0] * shape[1], 50], width, splits=(1, 2, 7))


def test_rows_of_four_axes_with_indices_as_values(width):
    shape = (3, 2, 4, 21)
    x = at(0, (0, 21, 0, 1))
    index = op("cast", op("add", op("mul", Axis(0), Number(100, I8)), op("add", Axis(2), Axis(3))), d=F4)
    agree(
        Nest(shape, [Stage((), (), [Store(Place(1, (168, 84, 21, 1)), op("add", x, index))])], [F4, F4]),
        [42, 504],
        width,
        splits=(1, 5),
    )


def test_dtypes_mix(width):
    x, y = at(0, (1,), F4), at(1, (1,), F8)
    both = op("mul", op("cast", x, d=F8), y)
    less = op("lt", x, Number(0.25, F4), d=BOOL)
    whole = op("select", less, op("cast", y, d=I8), Axis(0))
    stores = [Store(Place(2, (1,)), both), Store(Place(3, (1,)), less), Store(Place(4, (1,)), whole)]
    agree(Nest((77,), [Stage((), (), stores)], [F4, F8, F8, BOOL, I8]), [77] * 5, width)


@pytest.mark.parametrize("inner", [(0,), (33,), (300,), (3, 5), *wide((1,), (7,), (16,), (4, 16), (2, 0), (600, 3))])
@pytest.mark.parametrize("combine", ["sum", "prod", "max", "min"])
def test_rows_reduce(inner, combine, width):
    n = int(np.prod(inner))
    strides = (n, *[int(np.prod(inner[k + 1 :])) for k in range(len(inner))])
    padded = tuple([2 * s if k < len(strides) - 1 else s for k, s in enumerate(strides)])
    for places in (strides, padded):
        x = at(0, places, F8)
        x = op("add", op("mul", x, Number(0.01, F8)), Number(1, F8)) if combine == "prod" else x
        stages = [Stage(inner, [Reduction(combine, x)]), Stage((), (), [Store(Place(1, (1,)), Reduced(0, 0, F8))])]
        agree(Nest((5,), stages, [F8, F8]), [10 * n + 1, 5], width, exact=combine in ("max", "min"))


@pytest.mark.parametrize("rows", [5, 200, *wide(0, 1)])
@pytest.mark.parametrize("columns", [7, 300, *wide(1, 16, 45)])
@pytest.mark.parametrize("combine", ["sum", "max"])
def test_columns_reduce(rows, columns, combine, width):
    stages = [
        Stage((rows,), [Reduction(combine, at(0, (1, columns)))]),
        Stage((), (), [Store(Place(1, (1,)), Reduced(0, 0, F4))]),
    ]
    agree(Nest((columns,), stages, [F4, F4]), [rows * columns + 1, columns], width, exact=False)


@pytest.mark.parametrize("d", [np.dtype(d) for d in ("bool", "i1", "i4", "i8", "u1", "u8")], ids=str)
def test_integers_and_bools_reduce(d, width):
    x = at(0, (50, 1), d)
    reductions = [Reduction(c, x) for c in ("sum", "prod", "max", "min")]
    stores = [Store(Place(1, (4,), k), Reduced(0, k, d)) for k in range(4)]
    agree(Nest((6,), [Stage((50,), reductions), Stage((), (), stores)], [d, d]), [300, 24], width)


def test_nan_wins_in_extremes():
    stages = [Stage((130,), [Reduction(c, at(0, (1,))) for c in ("max", "min")])]
    stages += [Stage((), (), [Store(Place(1, (), k), Reduced(0, k, F4)) for k in range(2)])]
    native = Native(Nest((), stages, [F4, F4]))
    for place in range(130):
        x, out = filled(F4, 130), np.zeros(2, F4)
        x[place] = np.nan
        native([x, out])
        assert np.isnan(out).all()


@pytest.mark.parametrize("d", [F4, F8], ids=str)
@pytest.mark.parametrize("n", [16, 1000, 100_000, 1_000_003])
def test_sums_are_as_accurate_as_numpys(d, n):
    def native_sum(x: np.ndarray) -> float:
        stages = [Stage((n,), [Reduction("sum", at(0, (1,), d))]), Stage((), (), [Store(Place(1, ()), Reduced(0, 0, d))])]
        out = np.zeros(1, d)
        Native(Nest((), stages, [d, d]))([x, out])
        return float(out[0])

    eps = float(np.finfo(d).eps) / 2
    for make in (np.random.default_rng(1).random, np.random.default_rng(2).normal):
        x = make(size=n).astype(d) if make.__name__ == "normal" else make(n).astype(d)
        exact = np.sum(x.astype(np.longdouble))
        bound = 29 * eps * float(np.sum(np.abs(x.astype(np.longdouble))))
        assert abs(native_sum(x) - float(exact)) <= bound
    ones = np.full(n, 0.1, d)
    exact = float(d.type(0.1)) * n
    assert abs(native_sum(ones) - exact) <= max(2 * abs(float(ones.sum()) - exact), 4 * eps * exact)


def test_infinities_survive_compensation():
    for values, expected in (((np.inf,), np.inf), ((-np.inf,), -np.inf), ((np.inf, -np.inf), np.nan), ((3e38, 3e38), np.inf)):
        x = np.zeros(100_000, F4)
        x[5000 : 5000 + 16 * len(values) : 16] = values
        stages = [Stage((x.size,), [Reduction("sum", at(0, (1,)))]), Stage((), (), [Store(Place(1, ()), Reduced(0, 0, F4))])]
        out = np.zeros(1, F4)
        Native(Nest((), stages, [F4, F4]))([x, out])
        np.testing.assert_equal(out[0], F4.type(expected))


def layer_norm(rows: int, n: int, d: np.dtype) -> Nest:
    """Return the nest of a layer_norm with weights."""
    x, one = at(0, (n, 1), d), Number(1 / n, d)
    mean, centred = op("mul", Reduced(0, 0, d), one), op("sub", x, op("mul", Reduced(0, 0, d), one))
    variance = op("add", op("mul", Reduced(1, 0, d), one), Number(1e-5, d))
    out = op("mul", op("div", op("sub", x, mean), op("sqrt", variance)), at(2, (0, 1), d))
    return Nest(
        (rows,),
        [
            Stage((n,), [Reduction("sum", x)]),
            Stage((n,), [Reduction("sum", op("mul", centred, centred))]),
            Stage((n,), (), [Store(Place(1, (n, 1)), out)]),
        ],
        [d, d, d],
    )


def softmax(rows: int, n: int, d: np.dtype, inner_stride: int = 1) -> Nest:
    """Return the nest of a softmax, along rows or columns."""
    strides = (n, 1) if inner_stride == 1 else (1, inner_stride)
    x = at(0, strides, d)
    e = op("exp", op("sub", x, Reduced(0, 0, d)))
    return Nest(
        (rows,),
        [
            Stage((n,), [Reduction("max", x)]),
            Stage((n,), [Reduction("sum", e)], [Store(Place(1, strides), e)]),
            Stage((n,), (), [Store(Place(1, strides), op("div", at(1, strides, d), Reduced(1, 0, d)))]),
        ],
        [d, d],
    )


@pytest.mark.parametrize("n", [1, 3, 16, 50, 257])
@pytest.mark.parametrize("d", [F4, F8], ids=str)
def test_stages_use_what_earlier_ones_reduced_and_stored(n, d, width):
    agree(layer_norm(4, n, d), [4 * n, 4 * n, n], width, exact=False)
    agree(softmax(4, n, d), [4 * n, 4 * n], width, exact=False)
    agree(softmax(35, n, d, 35), [35 * n, 35 * n], width, exact=False)


def test_a_later_stage_reads_what_an_earlier_one_stored_at_the_point(width):
    for outer, strides in (((), ()), ((40,), (1,))):
        x = at(0, strides, F8)
        first, second = op("add", x, Number(1, F8)), op("mul", x, x)
        stages = [Stage((), (), [Store(Place(0, strides), first)]), Stage((), (), [Store(Place(1, strides), second)])]
        agree(Nest(outer, stages, [F8, F8]), [40, 40], width)


def test_in_place_and_constant_stores(width):
    x = at(0, (1,))
    agree(
        Nest((50,), [Stage((), (), [Store(Place(0, (1,)), op("mul", x, x)), Store(Place(1, (1,)), Number(2, F4))])], [F4, F4]),
        [50, 50],
        width,
    )


@pytest.mark.parametrize("outer", [(), (45,), (3, 20)])
def test_guarded_loads_read_nothing_where_the_guard_is_false(outer, width):
    far = 1 << 40  # elements beyond whatever there is
    axis = Axis(len(outer) - 1) if outer else Number(3, I8)
    strides = (0,) * max(len(outer) - 1, 0) + ((1,) if outer else ())
    even = op("eq", op("mod", axis, Number(2, I8)), Number(0, I8), d=BOOL)
    index = op("select", even, axis, Number(far, I8))
    out_strides = {0: (), 1: (1,), 2: (20, 1)}[len(outer)]
    values = [
        Load(Place(0, (0,) * len(outer), 0, [(index, 1)]), F4, even),
        Load(Place(0, strides), F4, even),
        Load(Place(0, strides, -far), F4, op("lt", axis, Number(-1, I8), d=BOOL)),
        Load(Place(2, strides), BOOL, even),
    ]
    stores = [Store(Place(1, out_strides, 100 * k), op("cast", v, d=F4)) for k, v in enumerate(values)]
    nest = Nest(outer, [Stage((), (), stores)], [F4, F4, BOOL])
    expected = np.zeros(500, F4)
    x, b = filled(F4, 60), filled(BOOL, 60)
    i = np.broadcast_to(np.arange(outer[-1]) if outer else np.array(3), outer)
    is_even = i % 2 == 0
    for k, v in enumerate([np.where(is_even, x[i], 0), np.where(is_even, x[i], 0), 0 * x[i], np.where(is_even, b[i], 0)]):
        expected[100 * k : 100 * k + i.size] = np.asarray(v).ravel()
    out = np.zeros(500, F4)
    Native(nest, width)([x, out, b])
    assert (out == expected).all()


@pytest.mark.parametrize("step", [1, -1, 7])
def test_gathers(step, width):
    index = at(1, (1,), I8)
    x = Load(Place(0, (2,), 700, [(index, step)]), F4)
    agree(Nest((61,), [Stage((), (), [Store(Place(2, (1,)), x)])], [F4, I8, F4]), [2000, 61, 61], width)
    rows = Load(Place(0, (0, 1), 0, [(at(1, (1, 0), I8), 5)]), F4)
    agree(Nest((7, 33), [Stage((), (), [Store(Place(2, (33, 1)), rows)])], [F4, I8, F4]), [2000, 61, 400], width)
    summed = [Stage((33,), [Reduction("sum", rows)]), Stage((), (), [Store(Place(2, (1,)), Reduced(0, 0, F4))])]
    agree(Nest((7,), summed, [F4, I8, F4]), [2000, 61, 400], width, exact=False)


def test_memory_need_not_be_aligned():
    nest = Nest((70,), [Stage((), (), [Store(Place(1, (1,)), op("add", at(0, (1,)), Number(1, F4)))])], [F4, F4])
    for k in range(4):
        x, y = [np.zeros(70 * 4 + 8, "u1")[k : k + 280].view(F4) for _ in range(2)]
        x[:] = np.arange(70)
        Native(nest)([x, y])
        assert (y == x + 1).all()


@pytest.mark.parametrize("shape", [(4, 21), (84,), (3, 4, 7)])
def test_indices_as_values_keep_axes_apart(shape, width):
    dense = [int(np.prod(shape[k + 1 :])) for k in range(len(shape))]
    for axis in range(len(shape)):
        stores = [Store(Place(1, dense), op("add", at(0, tuple(dense), I8), Axis(axis)))]
        agree(Nest(shape, [Stage((), (), stores)], [I8, I8]), [84, 84], width)


def test_tiles_run_only_the_points_asked_for(width):
    x = filled(F4, 40 * 21)
    store = Store(Place(1, (21, 1)), op("add", at(0, (1, 40)), Number(0, F4)))
    native = Native(Nest((40, 21), [Stage((), (), [store])], [F4, F4]), width)
    for cut in ((5, 800), (21, 42 * 18), (0, 839), (30, 31)):
        out, expected = np.zeros(840, F4), np.zeros(840, F4)
        native([x, out], cut)
        expected[slice(*cut)] = x.reshape(21, 40).T.ravel()[slice(*cut)]
        assert (out == expected).all()


@pytest.mark.parametrize("cut", [(0, 0), (3, 61), *wide((0, 1), (5, 6), (20, 40), (17, 84), (83, 84))])
def test_only_the_points_asked_for_are_run(cut, width):
    x, out = filled(F4, 84), np.zeros(84, F4)
    summed = [Stage((2,), [Reduction("sum", at(0, (1, 0)))]), Stage((), (), [Store(Place(1, (1,)), Reduced(0, 0, F4))])]
    twice = [
        Nest((84,), [Stage((), (), [Store(Place(1, (1,)), op("add", at(0, (1,)), at(0, (1,))))])], [F4, F4]),
        Nest((4, 21), [Stage((), (), [Store(Place(1, (21, 1)), op("add", at(0, (21, 1)), at(0, (21, 1))))])], [F4, F4]),
        Nest((4, 21), [Stage((), (), [Store(Place(1, (21, 1)), op("neg", Axis(1)))])], [F4, I8]),
        Nest((84,), summed, [F4, F4]),
    ]
    for nest in twice:
        out = np.zeros(84, nest.params[1])
        Native(nest, width)([x, out], cut)
        expected = np.zeros(84, out.dtype)
        expected[slice(*cut)] = (2 * x if out.dtype == F4 else -(np.arange(84) % 21))[slice(*cut)]
        assert (out == expected).all()


def test_parameters_may_be_the_same_memory(width):
    x = filled(F4, 90)
    for shape, strides in (((90,), (1,)), ((9, 10), (10, 1)), ((9, 10), (1, 9))):
        value = op("add", at(0, strides), op("mul", at(1, strides), at(2, strides)))
        memory = x.copy()
        Native(Nest(shape, [Stage((), (), [Store(Place(2, strides), value)])], [F4] * 3), width)([memory, memory, memory])
        assert (memory == x + x * x).all()


def test_column_sums_are_accurate_whatever_their_length():
    x = np.full((200_000, 5), 0.1, F4)
    out = np.zeros(5, F4)
    stages = [Stage((200_000,), [Reduction("sum", at(0, (1, 5)))]), Stage((), (), [Store(Place(1, (1,)), Reduced(0, 0, F4))])]
    Native(Nest((5,), stages, [F4, F4]))([x, out])
    exact = float(F4.type(0.1)) * 200_000
    assert np.abs(out - exact).max() <= 66 * 2.0**-24 * exact


@pytest.mark.parametrize(
    "shape", [(40, 37), (3, 33, 20), *wide((16, 16), (17, 5), (100, 3), (15, 60), (2, 3, 70, 16), (1, 64, 9))]
)
@pytest.mark.parametrize("d", [F4, *wide(F8, np.dtype("i4"))], ids=str)
def test_transposed_reads_run_in_tiles(shape, d, width):
    rows, columns, total = *shape[-2:], int(np.prod(shape))
    dense = tuple([int(np.prod(shape[k + 1 :])) for k in range(len(shape))])
    turned = (*dense[:-2], 1, rows)
    value = op("add", op("sub", at(0, turned, d), at(2, dense, d)), at(3, (0,) * (len(shape) - 1) + (1,), d))
    value = op("mul", value, at(0, (*dense[:-2], 1, rows), d, offset=5))
    value = op("add", value, at(0, (*[0] * len(dense[:-2]), 2, 2 * rows), d))
    nest = Nest(shape, [Stage((), (), [Store(Place(1, dense), value)])], [d] * 4)
    agree(nest, [2 * total + 5, total, total, columns], width, splits=(1, 2, 3, 13))

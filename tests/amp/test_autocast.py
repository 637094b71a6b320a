"""Autocast on the CPU: which dtypes functions compute in, and what is on where. PyTorch is the oracle where it is installed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from tests.oracle import outcome

import chainrule as cr
from chainrule import func
from chainrule.nn import functional as F
from chainrule.utils.checkpoint import checkpoint

NARROW = ("bfloat16", "float16")


def block(lib=cr, narrow="bfloat16", **options):
    return lib.autocast("cpu", dtype=getattr(lib, narrow), **options)


def said(value):
    """Return the dtypes of the tensors in a result."""
    if isinstance(value, (tuple, list)):
        return [said(v) for v in value]
    return str(getattr(value, "dtype", type(value).__name__)).split(".")[-1]


def mlp(lib):
    w, v = lib.arange(12.0).reshape(3, 4).div(7).requires_grad_(), lib.arange(8.0).reshape(4, 2).sub(3).requires_grad_()
    return w, v, lib.linspace(-1, 1, 6).reshape(2, 3)


# -- lists -------------------------------------------------------------------------------------------------------------

# What composes functions, on float32 `x` of 3 x 3 and its half precision `h`, or writes.
PROGRAMS = {
    "products": lambda t, x, h: [x @ x, x @ x[0], x[0] @ x[0], x.mm(h), x[None].bmm(x[None]), x.matmul(h)],
    "rarer products": lambda t, x, h: [
        t.nn.functional.prelu(h, x[0, :1]), t.linalg.vecdot(x, h), t.addbmm(x, x[None], h[None]),
        t.baddbmm(x, x[None], h[None]), t.conv_tbc(x[None], x[None], x[0]),
        t.polar(x, x), t.view_as_complex(x[:, :2].contiguous()), t.nanquantile(h, 0.5),
    ],
    "methods": lambda t, x, h: [h.prod(), h.prod(0), h.trace(), h.inverse(), h.quantile(0.5), x.addmm(x, x)],
    "a transform": lambda t, x, h: h.flatten().stft(4, window=x.flatten()[:4], return_complex=True),
    "as they are": lambda t, x, h: [x.mv(x[0]), x[0].dot(x[0]), t.outer(x[0], x[0]), t.kron(x, x), t.addmv(x[0], x, x[0])],
    "writes": lambda t, x, h: [
        x.clone().addmm_(x, x), x[None].clone().baddbmm_(x[None], x[None]), t.mm(x, x, out=t.empty(3, 3)),
    ],
    "contractions": lambda t, x, h: [t.einsum("ij,jk", x, h), t.einsum("i,j->ij", x[0], x[0]), t.addmm(x, x, x)],
    "einsum": lambda t, x, h: [t.einsum(s, x, x) for s in ("ij,jk", "ij,ij->ij", "ij,kj->k", "ij,ji->", "bi,bj->bij")],
    "compositions": lambda t, x, h: [
        t.tensordot(x, x, 1), t.inner(x, x), t.inner(x[0], x[0]), t.inner(x[0], x[0, 0]), t.cov(x), t.corrcoef(x),
        t.linalg.multi_dot([x, x, h]), t.linalg.matrix_power(x, 3), t.nn.functional.bilinear(x, x, x[None]),
    ],
    "joins": lambda t, x, h: [
        t.cat([x, h]), t.cat([h, h]), t.stack([h, x]), t.hstack([x, h]), t.vstack([h, x]), t.block_diag(x, h),
        h.index_copy(0, t.tensor([0]), x[:1]), t.concat((x, h), dim=1), t.cat([h, x.double()]),
    ],
    "losses": lambda t, x, h: [
        t.nn.functional.mse_loss(h, h), t.nn.functional.cross_entropy(h, t.tensor([0, 1, 2])), t.nn.functional.l1_loss(x, h),
        t.nn.functional.kl_div(h, h), t.nn.functional.gaussian_nll_loss(h, h, h * h), t.nn.functional.huber_loss(h, h),
        t.nn.functional.multilabel_soft_margin_loss(h, h), t.nn.functional.nll_loss(h, t.tensor([0, 1, 2])),
        t.nn.functional.binary_cross_entropy_with_logits(h, h), t.nn.functional.cosine_similarity(x, h),
    ],
    "norms": lambda t, x, h: [
        t.nn.functional.layer_norm(h, (3,), x[0], x[0]), t.nn.functional.batch_norm(h, None, None, x[0], x[0], True),
        t.nn.functional.group_norm(h, 1, x[0], x[0]), t.nn.functional.rms_norm(h, (3,), x[0]), h.softmax(0), h.sum(), h + x,
    ],
    "spaces": lambda t, x, h: [
        [t.nn.functional.pad(h[(None,) * n + (slice(1),) * 2].expand(*(1,) * n, 3, 3), (1, 1) * k, mode=mode)
         for n, k in ((1, 1), (2, 2)) for mode in ("reflect", "replicate", "circular", "constant")],
        t.nn.functional.pad(h.expand(1, 1, 3, 3, 3), (1, 1) * 3, mode="reflect"),
        [t.nn.functional.interpolate(h.expand(1, 1, *(3,) * n), size=2, mode="area") for n in (1, 2, 3) if n > 1],
        [getattr(t.nn.functional, f"adaptive_{k}_pool{n}d")(h.expand(1, 1, *(3,) * n), 2)
         for n in (2, 3) for k in ("avg", "max")],
        t.nn.functional.max_pool3d(h.expand(1, 1, 3, 3, 3), 2), t.nn.functional.max_pool2d(h[None, None], 2),
        t.nn.functional.max_pool3d(h.expand(1, 1, 3, 3, 3), 2, return_indices=True)[0],
        t.nn.functional.affine_grid(x[None, :2], (1, 1, 2, 2)), t.nn.functional.grid_sample(h[None, None], h[None, None, :, :2],
                                                                                            align_corners=False),
        t.nn.functional.conv2d(x[None, None], x[None, None]), t.nn.functional.conv_transpose1d(x[None], x[:, None]),
        t.nn.functional.local_response_norm(h[None, None], 2), t.nn.functional.local_response_norm(h[None], 2),
    ],
    "factors": lambda t, x, h: [
        t.linalg.inv(h), t.linalg.solve(h, h), t.linalg.eigh(h), t.linalg.svdvals(h), t.linalg.qr(h), t.linalg.lu_factor(x),
        t.linalg.cond(h), t.cholesky(h @ h.mT + 9 * t.eye(3)), t.fft.fft(h), t.fft.rfft2(h), t.cdist(h, h), t.lu(h)[0],
    ],
    "other half first": lambda t, x, h: t.cat([x.half() if h.dtype == t.bfloat16 else x.bfloat16(), x]),
    "other half last": lambda t, x, h: t.cat([h, x, x.half() if h.dtype == t.bfloat16 else x.bfloat16()]),
    "double": lambda t, x, h: [x.double() @ x.double(), t.nn.functional.mse_loss(x.double(), h), t.stack([x, x.double()])],
    "recurrent": lambda t, x, h: [
        t.nn.RNN(3, 2)(x[None]), t.nn.GRU(3, 2)(x[None]), t.nn.LSTM(3, 2)(x[None]), t.nn.LSTM(3, 2)(h[None]),
        t.nn.GRU(3, 2)(h[None]), t.nn.RNNCell(3, 2)(x), t.nn.GRUCell(3, 2)(x), t.nn.LSTMCell(3, 2)(x), t.nn.GRUCell(3, 2)(h),
    ],
    "attention": lambda t, x, h: [
        t.nn.functional.scaled_dot_product_attention(x[None], x[None], x[None]), t.nn.MultiheadAttention(3, 1)(x, x, x),
        t.nn.TransformerEncoderLayer(3, 1, 4)(x), t.nn.Embedding(3, 3)(t.tensor([0])), t.nn.Linear(3, 2)(x),
        t.nn.Linear(3, 2)(h), t.nn.Dropout()(h),
    ],
}  # fmt: skip


@pytest.mark.parametrize("narrow", NARROW)
@pytest.mark.parametrize("name", PROGRAMS)
def test_dtypes_are_pytorchs(name, narrow):
    torch = pytest.importorskip("torch")
    if (name, narrow) == ("recurrent", "float16"):
        pytest.skip("PyTorch's kernel refuses float16")

    def program(lib):
        x = lib.tensor([[4.0, 1.0, 0.5], [1.0, 3.0, 0.25], [0.5, 0.25, 2.0]]) / 8
        h = x.to(getattr(lib, narrow))
        with block(lib, narrow):
            return said(PROGRAMS[name](lib, x, h))

    ours, theirs = outcome(cr, program)[0], outcome(torch, program)[0]
    assert repr(ours) == repr(theirs)


# Entries of PyTorch's database that are not as PyTorch's, and why.
EXCEPT = {
    "linalg.pinv linalg.pinv[hermitian] svd_lowrank pca_lowrank": "one op, whose last product stays in single precision",
    "linalg.matrix_power": "of half precision, to a negative power: refused as without autocast",
    "tensordot": "one of axes of size 1 is a product too, and mixed dtypes are cast",
    "linalg.solve_triangular": "mixed dtypes are refused as without autocast",
}


@pytest.mark.slow
def test_dtypes_are_pytorchs_all_through_its_database():
    torch = pytest.importorskip("torch")
    from tests.ops import database

    def dtypes_of(lib, f, call, narrow):
        try:
            with block(lib, narrow):
                return [said(t) for t in database.tensors(f(*call.args, **call.kwargs))]
        except Exception:
            return None

    excepted, wrong, compared = " ".join(EXCEPT).split(), [], 0
    for op in database.op_db:
        entry = database.Entry(op)
        try:
            ours = entry.ours
        except database.Missing:
            continue
        if torch.float32 not in op.supported_dtypes("cpu") or entry.name in excepted:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for call in entry.calls(torch.float32, most=4):
                floats = [t for t in call.tensors() if t.dtype == torch.float32]
                for narrow, cast in (("bfloat16", 0), ("bfloat16", len(floats)), ("bfloat16", 1), ("float16", len(floats))):
                    changed = {id(t): t.detach().to(getattr(torch, narrow)) for t in floats[len(floats) - cast :]}
                    given = call.given(changed)
                    wanted = dtypes_of(torch, entry.theirs, given, narrow)
                    found = dtypes_of(cr, ours, given.translated(), narrow)
                    if wanted is None or found is None:
                        continue  # refused by either: what is refused is other tests' concern
                    compared += 1
                    if wanted != found:
                        wrong.append((entry.name, narrow, cast, wanted, found))
    assert not wrong
    assert compared > 3500


# -- values and gradients ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("narrow", NARROW)
def test_values_and_gradients_of_a_network_are_pytorchs(narrow):
    torch = pytest.importorskip("torch")

    def program(lib):
        w, v, x = mlp(lib)
        with block(lib, narrow):
            hidden = (x @ w).relu()
            loss = lib.nn.functional.mse_loss(lib.nn.functional.linear(hidden, v.t()), lib.zeros(2, 2))
        loss.backward()
        return [hidden.float(), loss, w.grad, v.grad]

    for ours, theirs in zip(program(cr), program(torch), strict=True):
        assert said(ours) == said(theirs)
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=2e-2)


def test_a_leaf_is_cast_once_in_a_block_and_anew_after_a_write():
    w = cr.ones(2, 2, requires_grad=True)
    x = cr.ones(2, 2)
    with block():
        first, second = x @ w, w @ x
        cast = [[e.name() for e, _ in y.grad_fn.next_functions if e] for y in (first, second)]
        nodes = [next(e for e, _ in y.grad_fn.next_functions if e) for y in (first, second)]
        assert nodes[0] is nodes[1]
        assert cast == [["ToCopyBackward0"]] * 2
        with cr.no_grad():
            assert not (x @ w).requires_grad
            w.mul_(2)
        assert (x @ w).tolist() == [[4.0, 4.0], [4.0, 4.0]]
    with block(cache_enabled=False):
        nodes = [next(e for e, _ in y.grad_fn.next_functions if e) for y in (x @ w, w @ x)]
        assert nodes[0] is not nodes[1]
    with block():
        kept = x @ w
    with block():
        assert next(e for e, _ in (x @ w).grad_fn.next_functions if e) is not next(
            e for e, _ in kept.grad_fn.next_functions if e
        )


def test_a_cast_leaf_inside_a_transform_is_not_kept_for_outside():
    w, x = cr.ones(2, 2, requires_grad=True), cr.ones(2, 2)
    with block():
        g = func.grad(lambda x: (x @ w).float().sum())(x)
        y = x @ w
    y.float().sum().backward()
    assert g.tolist() == w.grad.tolist() == [[2.0, 2.0], [2.0, 2.0]]


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_a_checkpoint_runs_again_under_the_autocast_of_its_call(use_reentrant):
    seen = []

    def layer(x, w):
        y = x @ w
        seen.append((said(y), cr.is_autocast_enabled("cpu")))
        return y.tanh()

    grads = []
    for wrapped in (layer, lambda x, w: checkpoint(layer, x, w, use_reentrant=use_reentrant)):
        w, _, x = mlp(cr)
        with block():
            y = wrapped(x, w)
        y.float().sum().backward()
        grads.append(w.grad)
    assert seen == [("bfloat16", True)] * 3
    assert cr.equal(*grads)


def test_transforms_compose():
    w, _, x = mlp(cr)
    w = w.detach()
    with block():
        assert said(func.vmap(lambda row: row @ w)(x)) == "bfloat16"
        g = func.grad(lambda w: F.mse_loss(x @ w, cr.zeros(2, 4)))(w)
        out, tangent = func.jvp(lambda w: x @ w, (w,), (w,))
        jacobian = func.jacrev(lambda row: row @ w)(x[0])
    assert (said(g), said(out), said(tangent), said(jacobian)) == ("float32", "bfloat16", "bfloat16", "float32")
    plain = func.grad(lambda w: F.mse_loss(x @ w, cr.zeros(2, 4)))(w)
    np.testing.assert_allclose(g.numpy(), plain.numpy(), rtol=2e-2)
    np.testing.assert_allclose(jacobian.numpy(), w.T.numpy(), rtol=1e-2)


def test_backward_is_not_cast_inside_the_block_either():
    x = cr.full((2, 2), 1 / 3, requires_grad=True)
    y = x @ x
    with block():
        y.sum().backward()
    assert x.grad.tolist() == cr.full((2, 2), 4 / 3).tolist()


# -- what is on --------------------------------------------------------------------------------------------------------


def product():
    return said(cr.ones(2, 2) @ cr.ones(2, 2))


def test_blocks_nest_and_end():
    assert (product(), cr.is_autocast_enabled("cpu")) == ("float32", False)
    with block():
        with cr.autocast("cpu", enabled=False):
            assert (product(), cr.is_autocast_enabled("cpu")) == ("float32", False)
            with block(narrow="float16"):
                assert (product(), cr.get_autocast_dtype("cpu")) == ("float16", cr.float16)
        assert (product(), cr.get_autocast_dtype("cpu")) == ("bfloat16", cr.bfloat16)
    with pytest.raises(ZeroDivisionError), block():
        1 / 0  # noqa: B018
    assert (product(), cr.is_autocast_enabled("cpu")) == ("float32", False)


def test_a_decorated_function_runs_in_a_block_and_recurs():
    @cr.autocast("cpu", dtype=cr.bfloat16)
    def f(n):
        """Give it."""
        return [product(), *(f(n - 1) if n else [])]

    assert (f(2), f.__name__, product()) == (["bfloat16"] * 3, "f", "float32")


def test_threads_and_tasks_have_their_own():
    found = []
    with block():
        thread = threading.Thread(target=lambda: found.append(product()))
        thread.start()
        thread.join()

    async def task(narrow):
        with block(narrow=narrow):
            await asyncio.sleep(0)
            found.append(product())

    async def both():
        await asyncio.gather(task("bfloat16"), task("float16"))

    asyncio.run(both())
    assert found == ["float32", "bfloat16", "float16"]


def test_it_can_be_switched_without_a_block():
    cr.set_autocast_enabled("cpu", True)
    cr.set_autocast_dtype("cpu", cr.float16)
    try:
        assert product() == "float16"
    finally:
        cr.set_autocast_enabled("cpu", False)
        cr.set_autocast_dtype("cpu", cr.bfloat16)
    assert product() == "float32"


def test_overrides_are_asked_before_autocast():
    class Names(cr.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            names.append((func.__name__, said(args[0])))
            return func(*args, **(kwargs or {}))

    class Own(cr.Tensor):
        pass

    names = []
    with block(), Names():
        assert product() == "bfloat16"
        y = Own([[1.0]]) @ Own([[1.0]])
        with cr.overrides.DisableTorchFunction():
            assert product() == "bfloat16"
    assert (type(y), said(y)) == (Own, "bfloat16")
    assert ("matmul", "float32") in names
    with block():
        assert not cr.overrides.has_torch_function((cr.ones(1),))
        assert said(Own([[1.0]]).mm(Own([[1.0]]))) == "bfloat16"


ASKED = {
    "settings": lambda t: [
        t.is_autocast_enabled("cpu"), t.is_autocast_enabled(), said_dtype(t.get_autocast_dtype("cpu")),
        t.is_autocast_cache_enabled(), said_dtype(t.get_autocast_dtype("cuda")), t.amp.is_autocast_available("cpu"),
        t.amp.is_autocast_available("meta"),
    ],
    "older": lambda t: [t.is_autocast_cpu_enabled(), said_dtype(t.get_autocast_cpu_dtype())],
    "cuda": lambda t: t.autocast("cuda")._enabled,
    "wide": lambda t: t.autocast("cpu", dtype=t.float32)._enabled,
    "no str": lambda t: t.autocast(3),
    "no name": lambda t: t.is_autocast_enabled(3),
    "no function": lambda t: t.autocast("cpu")(3),
    "no flag": lambda t: t.set_autocast_enabled("cpu", 3),
    "no device": lambda t: t.amp.custom_fwd(lambda: 0, device_type=3),
    "cpu.amp": lambda t: [t.cpu.amp.autocast().device, t.cpu.amp.GradScaler(enabled=False).is_enabled()],
    "cuda.amp": lambda t: [t.cuda.amp.autocast(enabled=False).device, t.cuda.amp.GradScaler(enabled=False).is_enabled()],
    "nesting": lambda t: [t.autocast_increment_nesting(), t.autocast_increment_nesting(), t.autocast_decrement_nesting(),
                          t.autocast_decrement_nesting(), t.clear_autocast_cache()],
}  # fmt: skip


def said_dtype(d):
    return str(d).split(".")[-1]


@pytest.mark.parametrize("name", ASKED)
def test_settings_warnings_and_errors_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    (ours, told), (theirs, warned) = outcome(cr, ASKED[name]), outcome(torch, ASKED[name])
    assert repr(ours)[:60] == repr(theirs)[:60]
    assert [(kind, text[:40]) for kind, text in told] == [(kind, text[:40]) for kind, text in warned]


def test_a_device_without_autocast_is_refused():
    with pytest.raises(RuntimeError, match="User specified an unsupported autocast device_type 'meta'"):
        cr.autocast("meta")
    with pytest.raises(RuntimeError, match="unknown device type for autocast"):
        cr.get_autocast_dtype("meta")


# -- autograd functions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cast_inputs", [None, "float32", "float16"])
def test_custom_functions_are_pytorchs(cast_inputs):
    torch = pytest.importorskip("torch")

    def program(lib):
        seen = []

        class Product(lib.autograd.Function):
            @staticmethod
            @lib.amp.custom_fwd(device_type="cpu", cast_inputs=cast_inputs and getattr(lib, cast_inputs))
            def forward(ctx, x, y):
                ctx.save_for_backward(x, y)
                seen.append((said(x), lib.is_autocast_enabled("cpu")))
                return x.mm(y)

            @staticmethod
            @lib.amp.custom_bwd(device_type="cpu")
            def backward(ctx, g):
                x, y = ctx.saved_tensors
                seen.append((said(g), lib.is_autocast_enabled("cpu")))
                return g.mm(y.t()).to(x.dtype), x.t().mm(g).to(y.dtype)

        x = lib.ones(2, 2).requires_grad_()
        with block(lib):
            y = Product.apply(x, x)
        y.float().sum().backward()
        return [seen, said(y), said(x.grad), x.grad.tolist(), said(Product.apply(x, x))]

    assert program(cr) == program(torch)


def test_what_bfloat16_needs_is_named_where_it_is_missing():
    code = """
import sys
sys.modules["ml_dtypes"] = None
import chainrule as cr
with cr.autocast("cpu", dtype=cr.float16):
    assert (cr.ones(2, 2) @ cr.ones(2, 2)).dtype is cr.float16
with cr.autocast("cpu", enabled=False, dtype=cr.bfloat16):
    pass
assert cr.ones(1).dtype not in (cr.bfloat16, cr.float16) and str(cr.bfloat16) == "chainrule.bfloat16"
for use in (lambda: cr.ones(1, dtype=cr.bfloat16), lambda: cr.ones(1).bfloat16(), lambda: cr.finfo(cr.bfloat16)):
    try:
        use()
    except ImportError:
        continue
    raise AssertionError
try:
    cr.autocast("cpu")
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ('bfloat16 needs the package ml_dtypes: pip install "chainrule[bfloat16]"', "")


def test_nothing_asks_before_autocast_is_first_on():
    code = """
import chainrule as cr
from chainrule.core.call.asking import asking
with cr.autocast("cpu", enabled=False):
    pass
assert not asking.on
with cr.autocast("cpu", dtype=cr.float16):
    assert asking.on
"""
    subprocess.run([sys.executable, "-c", code], check=True)

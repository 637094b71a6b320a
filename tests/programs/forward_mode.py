"""Forward-mode automatic differentiation: dual tensors, modules, custom Functions with jvp, the functional form."""

import torch
import torch.autograd.forward_ad as fwAD
from torch import nn

primal = torch.randn(10, 10)
tangent = torch.randn(10, 10)


def fn(x, y):
    return x**2 + y**2


with fwAD.dual_level():
    dual_input = fwAD.make_dual(primal, tangent)
    assert fwAD.unpack_dual(dual_input).tangent is tangent
    print(fwAD.unpack_dual(primal).tangent)
    dual_output = fn(dual_input, primal)
    jvp = fwAD.unpack_dual(dual_output).tangent
    print(jvp.sum(), torch.allclose(jvp, 2 * primal * tangent))
assert fwAD.unpack_dual(dual_output).tangent is None

model = nn.Linear(5, 5)
input = torch.randn(16, 5)
params = {name: p for name, p in model.named_parameters()}
tangents = {name: torch.rand_like(p) for name, p in params.items()}
with fwAD.dual_level():
    for name, p in params.items():
        delattr(model, name)
        setattr(model, name, fwAD.make_dual(p, tangents[name]))
    out = model(input)
    jvp = fwAD.unpack_dual(out).tangent
    print(jvp.norm().item())

from torch.func import functional_call

model = nn.Linear(5, 5)
dual_params = {}
params = {name: p for name, p in model.named_parameters()}
with fwAD.dual_level():
    for name, p in params.items():
        dual_params[name] = fwAD.make_dual(p, tangents[name])
    out = functional_call(model, dual_params, input)
    print(fwAD.unpack_dual(out).tangent.norm().item(), torch.allclose(fwAD.unpack_dual(out).tangent, jvp))


class Fn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, foo):
        result = torch.exp(foo)
        ctx.result = result
        return result

    @staticmethod
    def jvp(ctx, gI):
        gO = gI * ctx.result
        del ctx.result
        return gO


fn = Fn.apply
primal = torch.randn(10, 10, dtype=torch.double, requires_grad=True)
tangent = torch.randn(10, 10)
with fwAD.dual_level():
    dual_input = fwAD.make_dual(primal, tangent.double())
    dual_output = fn(dual_input)
    jvp = fwAD.unpack_dual(dual_output).tangent
    print(jvp.norm())
print(
    torch.autograd.gradcheck(
        Fn.apply,
        (primal,),
        check_forward_ad=True,
        check_backward_ad=False,
        check_undefined_grad=False,
        check_batched_grad=False,
    )
)

import torch.func as ft

primal0, tangent0 = torch.randn(10, 10), torch.randn(10, 10)
primal1, tangent1 = torch.randn(10, 10), torch.randn(10, 10)


def fn(x, y):
    return x**2 + y**2


primal_out, tangent_out = ft.jvp(fn, (primal0, primal1), (tangent0, tangent1))
print(primal_out.norm(), tangent_out.norm())


def jvp_wrt_x(x, t):
    return ft.jvp(lambda x: fn(x, primal1), (x,), (t,))[1]


print(ft.jvp(lambda x: jvp_wrt_x(x, tangent0), (primal0,), (tangent0,))[1].norm())
x = torch.randn(4, requires_grad=True)
with fwAD.dual_level():
    dual = fwAD.make_dual(x, torch.ones(4))
    y = (dual.sin() * dual).sum()
    directional = fwAD.unpack_dual(y).tangent
(g,) = torch.autograd.grad(directional, x)
print(g, 2 * x.cos() - x * x.sin())

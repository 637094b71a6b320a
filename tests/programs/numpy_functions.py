"""Functions that compute with NumPy and SciPy, after the tutorial on extensions: an FFT without parameters, a convolution with
a learned filter, and NumPy rules made differentiable by calling another Function in backward."""

import numpy as np
import torch
from numpy.fft import irfft2, rfft2
from scipy.signal import convolve2d, correlate2d
from torch.autograd import Function, gradcheck
from torch.nn import Module
from torch.nn.parameter import Parameter


class BadFFTFunction(Function):
    @staticmethod
    def forward(ctx, input):
        numpy_input = input.detach().numpy()
        result = abs(rfft2(numpy_input))
        return torch.as_tensor(result, dtype=input.dtype)

    @staticmethod
    def backward(ctx, grad_output):
        numpy_go = grad_output.numpy()
        result = irfft2(numpy_go)
        return torch.tensor(result.astype(numpy_go.dtype))


def incorrect_fft(input):
    return BadFFTFunction.apply(input)


input = torch.randn(8, 8, requires_grad=True)
result = incorrect_fft(input)
print(result.shape)
result.backward(torch.ones(result.size()))
print(input.grad.shape, input.grad[0, :3])


class ScipyConv2dFunction(Function):
    @staticmethod
    def forward(ctx, input, filter, bias):
        input, filter, bias = input.detach(), filter.detach(), bias.detach()
        result = correlate2d(input.numpy(), filter.numpy(), mode="valid")
        result += bias.numpy()
        ctx.save_for_backward(input, filter, bias)
        return torch.as_tensor(result, dtype=input.dtype)

    @staticmethod
    def backward(ctx, grad_output):
        grad_output = grad_output.detach()
        input, filter, bias = ctx.saved_tensors
        grad_output = grad_output.numpy()
        grad_bias = np.sum(grad_output, keepdims=True)
        grad_input = convolve2d(grad_output, filter.numpy(), mode="full")
        grad_filter = correlate2d(input.numpy(), grad_output, mode="valid")
        return (
            torch.from_numpy(grad_input),
            torch.from_numpy(grad_filter).to(torch.float),
            torch.from_numpy(grad_bias).to(torch.float),
        )


class ScipyConv2d(Module):
    def __init__(self, filter_width, filter_height):
        super().__init__()
        self.filter = Parameter(torch.randn(filter_width, filter_height))
        self.bias = Parameter(torch.randn(1, 1))

    def forward(self, input):
        return ScipyConv2dFunction.apply(input, self.filter, self.bias)


module = ScipyConv2d(3, 3)
print([tuple(p.shape) for p in module.parameters()])
input = torch.randn(10, 10, requires_grad=True)
output = module(input)
print(output[0])
output.backward(torch.randn(8, 8))
print(input.grad[0], module.filter.grad)
moduleConv = ScipyConv2d(3, 3)
print(
    gradcheck(
        lambda x: moduleConv(x).double(), [torch.randn(5, 5, dtype=torch.double, requires_grad=True)], eps=1e-6, atol=1e-4
    )
)


def to_numpy(tensor):
    return tensor.detach().numpy()


class NumpySort(Function):
    @staticmethod
    def forward(x, dim):
        x = to_numpy(x)
        ind = np.argsort(x, axis=dim)
        ind_inv = np.argsort(ind, axis=dim)
        return torch.tensor(np.take_along_axis(x, ind, axis=dim)), torch.tensor(ind), torch.tensor(ind_inv)

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, dim = inputs
        _, ind, ind_inv = output
        ctx.mark_non_differentiable(ind, ind_inv)
        ctx.save_for_backward(ind, ind_inv)
        ctx.dim = dim

    @staticmethod
    def backward(ctx, grad_output, _0, _1):
        ind, ind_inv = ctx.saved_tensors
        return NumpyTake.apply(grad_output, ind_inv, ind, ctx.dim), None


class NumpyTake(Function):
    @staticmethod
    def forward(x, ind, ind_inv, dim):
        return torch.tensor(np.take_along_axis(to_numpy(x), to_numpy(ind), axis=dim))

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, ind, ind_inv, dim = inputs
        ctx.save_for_backward(ind, ind_inv)
        ctx.dim = dim

    @staticmethod
    def backward(ctx, grad_output):
        ind, ind_inv = ctx.saved_tensors
        return NumpyTake.apply(grad_output, ind_inv, ind, ctx.dim), None, None, None


x = torch.randn(2, 3, dtype=torch.double, requires_grad=True)
print(
    gradcheck(lambda x: NumpySort.apply(x, 1)[0], x), torch.autograd.gradgradcheck(lambda x: NumpySort.apply(x, 1)[0] ** 2, x)
)
print(torch.func.grad(lambda x: (NumpySort.apply(x, -1)[0] * torch.arange(3.0)).sum())(x.detach()))
print(NumpySort.apply(x, 0)[1])

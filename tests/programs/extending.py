"""Functions of one's own, after the notes on extending: a linear layer, constants as arguments, materialised gradients,
in-place functions, separate setup_context, jvp and vmap."""

import torch
from torch.autograd import Function, gradcheck


class LinearFunction(Function):
    @staticmethod
    def forward(input, weight, bias):
        output = input.mm(weight.t())
        if bias is not None:
            output += bias.unsqueeze(0).expand_as(output)
        return output

    @staticmethod
    def setup_context(ctx, inputs, output):
        input, weight, bias = inputs
        ctx.save_for_backward(input, weight, bias)

    @staticmethod
    def backward(ctx, grad_output):
        input, weight, bias = ctx.saved_tensors
        grad_input = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_input = grad_output.mm(weight)
        if ctx.needs_input_grad[1]:
            grad_weight = grad_output.t().mm(input)
        if bias is not None and ctx.needs_input_grad[2]:
            grad_bias = grad_output.sum(0)
        return grad_input, grad_weight, grad_bias


class MulConstant(Function):
    @staticmethod
    def forward(tensor, constant):
        return tensor * constant

    @staticmethod
    def setup_context(ctx, inputs, output):
        tensor, constant = inputs
        ctx.set_materialize_grads(False)
        ctx.constant = constant

    @staticmethod
    def backward(ctx, grad_output):
        if grad_output is None:
            return None, None
        return grad_output * ctx.constant, None


class Linear(torch.nn.Module):
    def __init__(self, input_features, output_features, bias=True):
        super().__init__()
        self.input_features, self.output_features = input_features, output_features
        self.weight = torch.nn.Parameter(torch.empty(output_features, input_features))
        if bias:
            self.bias = torch.nn.Parameter(torch.empty(output_features))
        else:
            self.register_parameter("bias", None)
        with torch.no_grad():
            self.weight.copy_(torch.rand(output_features, input_features) * 0.2 - 0.1)
            if self.bias is not None:
                self.bias.copy_(torch.rand(output_features) * 0.2 - 0.1)

    def forward(self, input):
        return LinearFunction.apply(input, self.weight, self.bias)

    def extra_repr(self):
        return f"input_features={self.input_features}, output_features={self.output_features}, bias={self.bias is not None}"


input = (
    torch.randn(5, 4, dtype=torch.double, requires_grad=True),
    torch.randn(3, 4, dtype=torch.double, requires_grad=True),
    None,
)
print(gradcheck(LinearFunction.apply, input, eps=1e-6, atol=1e-4))
layer = Linear(4, 3)
print(layer)
out = layer(torch.randn(2, 4))
out.sum().backward()
print(out, layer.weight.grad, layer.bias.grad)
x = torch.randn(3, requires_grad=True)
print(torch.autograd.grad(MulConstant.apply(x, 2.5).sum(), x))


class Inplace(Function):
    @staticmethod
    def forward(ctx, x):
        x_npy = x.detach()
        x_npy += 1
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output


a = torch.tensor(1.0, requires_grad=True, dtype=torch.double).clone()
b = a * a
Inplace.apply(a)
print(a)
try:
    b.backward()
except RuntimeError as error:
    print(str(error).split(":")[0])


class MyCube(Function):
    @staticmethod
    def forward(x):
        result = x**3
        dx = 3 * x**2
        return result, dx

    @staticmethod
    def setup_context(ctx, inputs, output):
        (x,) = inputs
        result, dx = output
        ctx.save_for_backward(x, dx)
        ctx.save_for_forward(x, dx)

    @staticmethod
    def backward(ctx, grad_output, grad_dx):
        x, dx = ctx.saved_tensors
        return grad_output * dx + grad_dx * 6 * x

    @staticmethod
    def vmap(info, in_dims, x):
        result = MyCube.apply(x)
        return result, (in_dims[0], in_dims[0])

    @staticmethod
    def jvp(ctx, x_dot):
        x, dx = ctx.saved_tensors
        return x_dot * dx, x_dot * 6 * x


def my_cube(x):
    return MyCube.apply(x)[0]


x = torch.randn(3)
print(torch.func.grad(lambda x: my_cube(x).sum())(x), torch.func.grad(lambda x: torch.func.grad(my_cube)(x))(x[0]))
print(torch.func.vmap(my_cube)(x))
print(torch.func.jvp(my_cube, (x,), (torch.ones(3),)))
print(torch.func.vmap(torch.func.grad(my_cube))(x))


class Generated(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, y):
        return x * y.cos()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g * y.cos(), -g * x * y.sin()


y = torch.randn(2, 3)
print(torch.func.vmap(Generated.apply, in_dims=(None, 0))(x, y))
per_row = torch.func.vmap(torch.func.grad(lambda x, y: Generated.apply(x, y).sum(), argnums=(0, 1)), in_dims=(None, 0))
print(per_row(x, y))

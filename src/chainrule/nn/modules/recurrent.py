"""Recurrent networks and cells as modules, over the functions of `chainrule.nn.functional.recurrent`."""

from __future__ import annotations

import math
import warnings
from typing import Any

import chainrule.nn.functional.recurrent as functions  # `from` would ask the package, which looks for names that are close
from chainrule.core.tensor.subclass import STATE
from chainrule.core.tensor.tensor import Tensor
from chainrule.functions.creation.fill import zeros
from chainrule.nn import init
from chainrule.nn.modules.linear import new_parameter
from chainrule.nn.modules.module import Module
from chainrule.nn.utils.rnn import PackedSequence

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def _drawn(module: Module, hidden_size: int) -> None:
    bound = 1.0 / math.sqrt(hidden_size) if hidden_size > 0 else 0
    for weight in module.parameters():
        init.uniform_(weight, -bound, bound)


class RNNBase(Module):
    """What recurrent networks share: their weights, named as PyTorch's, and the checks of their inputs.

    Parameters
    ----------
    mode : {"LSTM", "GRU", "RNN_TANH", "RNN_RELU"}
        The kind.
    input_size, hidden_size, num_layers : int
        Of inputs and states; how many layers.
    bias, batch_first, bidirectional : bool
        Whether there are biases; whether the batch is the first axis; whether it runs from the end, too.
    dropout : float
        Probability that an element between layers is dropped in training.
    proj_size : int
        Of projected states, for an LSTM; 0 for none.

    Raises
    ------
    ValueError
        If a size, the number of layers or the probability is out of range.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.RNNBase("GRU", 3, 2, num_layers=2)
    RNNBase(3, 2, num_layers=2)
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers "
                f"greater than 1, but got dropout={dropout} and num_layers={num_layers}",
                UserWarning,
                stacklevel=3,
            )
        for name, value in (("input_size", input_size), ("hidden_size", hidden_size)):
            if not isinstance(value, int):
                raise TypeError(f"{name} should be of type int, got: {type(value).__name__}")
        if hidden_size <= 0:
            raise ValueError("hidden_size must be greater than zero")
        if num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if proj_size < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable projections")
        if proj_size >= hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        self.mode, self.input_size, self.hidden_size, self.num_layers = mode, input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        gates, out = _GATES[mode] * hidden_size, proj_size or hidden_size
        directions = 2 if bidirectional else 1
        self._flat_weights_names: list[str] = []
        for layer in range(num_layers):
            size = input_size if layer == 0 else out * directions
            for direction in range(directions):
                suffix = f"_l{layer}" + ("_reverse" if direction else "")
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (gates, size), "weight_hh": (gates, out)}
                if bias:
                    shapes |= {"bias_ih": (gates,), "bias_hh": (gates,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                for name, shape in shapes.items():
                    self.register_parameter(name + suffix, new_parameter(shape, device, dtype))
                    self._flat_weights_names.append(name + suffix)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights anew, uniform in ``±1/sqrt(hidden_size)``."""
        _drawn(self, self.hidden_size)

    def flatten_parameters(self) -> None:
        """Do nothing: where weights lie in memory makes no difference here."""

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The weights of each layer and direction."""
        size = len(self._flat_weights_names) // (self.num_layers * (2 if self.bidirectional else 1))
        found = [getattr(self, name) for name in self._flat_weights_names]
        return [found[k : k + size] for k in range(0, len(found), size)]

    @property
    def _flat_weights(self) -> list[Any]:
        return [getattr(self, name) for name in self._flat_weights_names]

    # -- checks, which subclasses with a forward of their own call, too ------------------------------------------------

    def check_input(self, input: Any, batch_sizes: Any) -> None:
        """Raise PyTorch's errors unless an input, packed if there are batch sizes, is of the dtype, axes and size expected."""
        expected = self._flat_weights[0].dtype
        if input.dtype is not expected and STATE.get().casting is None:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({expected}). Convert input: "
                f"input.to({expected}), or convert model: model.to({input.dtype})"
            )
        axes = 3 if batch_sizes is None else 2
        if input.ndim != axes:
            raise RuntimeError(f"input must have {axes} dimensions, got {input.ndim}")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.shape[-1]}")

    def _state_shape(self, input: Any, batch_sizes: Any, size: int) -> tuple[int, int, int]:
        batch = input.shape[0 if self.batch_first else 1] if batch_sizes is None else int(batch_sizes[0])
        return self.num_layers * (2 if self.bidirectional else 1), batch, size

    def get_expected_hidden_size(self, input: Any, batch_sizes: Any) -> tuple[int, int, int]:
        """Return the shape of hidden states that go with an input."""
        return self._state_shape(input, batch_sizes, self.proj_size or self.hidden_size)

    def check_hidden_size(self, hx: Any, expected_hidden_size: tuple, msg: str = "Expected hidden size {}, got {}") -> None:
        """Raise an error unless a state has a shape."""
        if tuple(hx.shape) != expected_hidden_size:
            raise RuntimeError(msg.format(expected_hidden_size, list(hx.shape)))

    def check_forward_args(self, input: Any, hidden: Any, batch_sizes: Any) -> None:
        """Raise PyTorch's errors unless an input and the first states fit."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx: Any, permutation: Any) -> Any:
        """Return states in the order of a permutation of the sequences; as they are without one."""
        return hx if permutation is None else hx.index_select(1, permutation)

    # -- running -------------------------------------------------------------------------------------------------------

    def _first_states(self, input: Any, batch_sizes: Any) -> Any:
        return zeros(self.get_expected_hidden_size(input, batch_sizes), dtype=input.dtype)

    def _run(self, *before: Any, hx: Any, after: tuple = ()) -> Any:
        """Return the outputs and the last states of the function of this mode."""
        options = (self.bias, self.num_layers, self.dropout, self.training, self.bidirectional, *after)
        out, *last = getattr(functions, self.mode.lower())(*before, hx, self._flat_weights, *options)
        return out, self._as_states(last)

    def _as_states(self, states: Any) -> Any:
        """Return states, one or two, as this mode takes them."""
        (state,) = states
        return state

    def _forward_packed(self, input: PackedSequence, hx: Any) -> tuple:
        data, sizes, order, back = input
        hx = self._first_states(data, sizes) if hx is None else hx
        self.check_forward_args(data, hx, sizes)
        out, last = self._run(data, sizes, hx=self.permute_hidden(hx, order))
        return PackedSequence(out, sizes, order, back), self.permute_hidden(last, back)

    def forward(self, input: Any, hx: Any = None) -> tuple:
        """Return (outputs, last states) of inputs of shape (L, N, in), (N, L, in) with `batch_first`, (L, in), or packed."""
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        if input.ndim not in (2, 3):
            raise ValueError(f"{type(self).__name__}: Expected input to be 2D or 3D, got {input.ndim}D instead")
        single, axis = input.ndim == 2, 0 if self.batch_first else 1
        if single:
            input = input.unsqueeze(axis)
        hx = self._first_states(input, None) if hx is None else self._batched(hx, single)
        self.check_forward_args(input, hx, None)
        out, last = self._run(input, hx=hx, after=(self.batch_first,))
        if not single:
            return out, last
        return out.squeeze(axis), self._as_states([s.squeeze(1) for s in ([last] if isinstance(last, Tensor) else last)])

    def _batched(self, hx: Any, single: bool) -> Any:
        """Return given states with the batch axis; raise PyTorch's errors unless they have as many axes as the input."""
        lstm, axes = self.mode == "LSTM", 2 if single else 3
        given = tuple(hx) if lstm else (hx,)
        if any(s.ndim != axes for s in given):
            kind = "unbatched 2-D" if single else "batched 3-D"
            found = f"({', '.join(f'{s.ndim}-D' for s in given)}) tensors" if lstm else f"{hx.ndim}-D tensor"
            raise RuntimeError(f"For {kind} input, {'hx and cx' if lstm else 'hx'} should also be {axes}-D but got {found}")
        if single:
            given = tuple(s.unsqueeze(1) for s in given)
        return given if lstm else given[0]

    def extra_repr(self) -> str:
        """Return the settings that are not the defaults."""
        parts = [f"{self.input_size}, {self.hidden_size}"]
        if self.proj_size:
            parts.append(f"proj_size={self.proj_size}")
        if self.num_layers != 1:
            parts.append(f"num_layers={self.num_layers}")
        for name, default in (("bias", True), ("batch_first", False), ("dropout", 0), ("bidirectional", False)):
            if getattr(self, name) != default:
                parts.append(f"{name}={getattr(self, name)}")
        return ", ".join(parts)


class RNN(RNNBase):
    """A recurrent network with tanh or relu; parameters as :class:`RNNBase`, and `nonlinearity`.

    Examples
    --------
    >>> import chainrule as cr
    >>> y, h = cr.nn.RNN(3, 2)(cr.ones(5, 4, 3))
    >>> y.shape, h.shape
    (chainrule.Size([5, 4, 2]), chainrule.Size([1, 4, 2]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        self.__dict__["nonlinearity"] = nonlinearity
        mode = f"RNN_{nonlinearity.upper()}"
        super().__init__(mode, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)


class LSTM(RNNBase):
    """A long short-term memory; parameters as :class:`RNNBase`; states are pairs of hidden and cell states.

    Examples
    --------
    >>> import chainrule as cr
    >>> y, (h, c) = cr.nn.LSTM(3, 2, bidirectional=True)(cr.ones(5, 4, 3))
    >>> y.shape, h.shape
    (chainrule.Size([5, 4, 4]), chainrule.Size([2, 4, 2]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)

    def get_expected_cell_size(self, input: Any, batch_sizes: Any) -> tuple[int, int, int]:
        """Return the shape of cell states that go with an input."""
        return self._state_shape(input, batch_sizes, self.hidden_size)

    def check_forward_args(self, input: Any, hidden: Any, batch_sizes: Any) -> None:
        """Raise PyTorch's errors unless an input and the first states fit."""
        self.check_input(input, batch_sizes)
        sizes = self.get_expected_hidden_size(input, batch_sizes), self.get_expected_cell_size(input, batch_sizes)
        for i, size in enumerate(sizes):
            self.check_hidden_size(hidden[i], size, f"Expected hidden[{i}] size {{}}, got {{}}")

    def permute_hidden(self, hx: Any, permutation: Any) -> Any:
        """Return states in the order of a permutation of the sequences; as they are without one."""
        return hx if permutation is None else tuple(s.index_select(1, permutation) for s in hx)

    def _first_states(self, input: Any, batch_sizes: Any) -> Any:
        cell = zeros(self.get_expected_cell_size(input, batch_sizes), dtype=input.dtype)
        return super()._first_states(input, batch_sizes), cell

    def _as_states(self, states: Any) -> Any:
        return tuple(states)


class GRU(RNNBase):
    """Gated recurrent units; parameters as :class:`RNNBase`, without `proj_size`.

    Examples
    --------
    >>> import chainrule as cr
    >>> y, h = cr.nn.GRU(3, 2, batch_first=True)(cr.ones(4, 5, 3))
    >>> y.shape, h.shape
    (chainrule.Size([4, 5, 2]), chainrule.Size([1, 4, 2]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)


class RNNCellBase(Module):
    """What cells share: their weights and the checks of their inputs."""

    function: str
    states = 1

    def __init__(self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None, dtype: Any = None):
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        gates = num_chunks * hidden_size
        self.weight_ih = new_parameter((gates, input_size), device, dtype)
        self.weight_hh = new_parameter((gates, hidden_size), device, dtype)
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, new_parameter((gates,), device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights anew, uniform in ``±1/sqrt(hidden_size)``."""
        _drawn(self, self.hidden_size)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Return the next state of inputs of shape (N, in) or (in,)."""
        name = type(self).__name__
        if input.ndim not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.ndim}D instead")
        given = () if hx is None else tuple(hx) if self.states == 2 else (hx,)
        for i, s in enumerate(given):
            if s.ndim not in (1, 2):
                place = f"hx[{i}]" if self.states == 2 else "hidden"
                raise ValueError(f"{name}: Expected {place} to be 1D or 2D, got {s.ndim}D instead")
        single = input.ndim == 1
        x = input.unsqueeze(0) if single else input
        if not given:
            given = (zeros(x.shape[0], self.hidden_size, dtype=x.dtype),) * self.states
        elif single:
            given = tuple(s.unsqueeze(0) for s in given)
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        out = getattr(functions, self.function)(x, given if self.states == 2 else given[0], *weights)
        if not single:
            return out
        return tuple(s.squeeze(0) for s in out) if self.states == 2 else out.squeeze(0)

    def extra_repr(self) -> str:
        """Return the settings."""
        parts = [f"{self.input_size}, {self.hidden_size}"]
        if self.bias is not True:
            parts.append(f"bias={self.bias}")
        if self.__dict__.get("nonlinearity", "tanh") != "tanh":
            parts.append(f"nonlinearity={self.nonlinearity}")
        return ", ".join(parts)


class RNNCell(RNNCellBase):
    """One step of a recurrent network with tanh or relu.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.RNNCell(3, 2)(cr.ones(4, 3)).shape
    chainrule.Size([4, 2])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        if nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {nonlinearity}")
        self.nonlinearity = nonlinearity
        self.function = f"rnn_{nonlinearity}_cell"


class LSTMCell(RNNCellBase):
    """One step of a long short-term memory.

    Examples
    --------
    >>> import chainrule as cr
    >>> h, c = cr.nn.LSTMCell(3, 2)(cr.ones(4, 3))
    >>> h.shape
    chainrule.Size([4, 2])
    """

    function, states = "lstm_cell", 2

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)


class GRUCell(RNNCellBase):
    """One step of gated recurrent units.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.nn.GRUCell(3, 2)(cr.ones(4, 3)).shape
    chainrule.Size([4, 2])
    """

    function = "gru_cell"

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

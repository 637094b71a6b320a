"""Recurrent networks as functions, PyTorch's ``torch.lstm``, ``gru``, ``rnn_tanh``, ``rnn_relu`` and their cells.

All inputs go through one matrix product, all that depends on the step before through one each step; an LSTM's steps are one
op. Sequences of several lengths (packed ones) are computed side by side as long ones: what comes after an end reaches no
result, and gets no gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.core.call.asking import asks
from chainrule.core.call.dispatch import as_tensor
from chainrule.core.tensor.tensor import Tensor
from chainrule.core.tensor.value import innermost
from chainrule.functions.shaping.join import cat
from chainrule.nn.functional.dropout import dropout as drop
from chainrule.nn.functional.linear import linear
from chainrule.ops.indexing.index import index
from chainrule.ops.indexing.view import getitem
from chainrule.ops.linalg.contract import addmm, mm
from chainrule.ops.nn.recurrent import lstm_step
from chainrule.ops.nn.sequence import lstm as lstm_sequence
from chainrule.ops.pointwise.activation import relu
from chainrule.ops.pointwise.exponential import sigmoid
from chainrule.ops.pointwise.trigonometric import tanh
from chainrule.ops.shaping.join import split, stack, unbind
from chainrule.ops.shaping.shape import broadcast_to, flip, reshape, t, transpose

__all__ = ["gru", "gru_cell", "lstm", "lstm_cell", "rnn_relu", "rnn_relu_cell", "rnn_tanh", "rnn_tanh_cell"]

State = tuple[Any, ...]  # (h,), or (h, c) of an LSTM
Step = Callable[[Any, State], State]


# -- steps: what becomes of a projected input and the state before; sequences: what becomes of all -----------------------


def _sum(x: Any, y: Any) -> Any:
    return y if x is None else x if y is None else x + y


def _lstm_steps(weights: list) -> tuple[Any, Step]:
    """Return (bias of the inputs' projection, step)."""
    _, hidden, b, c = weights[:4]
    hidden, back = t(hidden), None if len(weights) < 5 else t(weights[4])

    def step(x: Any, state: State) -> State:
        h, cell, _ = lstm_step(addmm(x, state[0], hidden, beta=1, alpha=1), state[1])
        return h if back is None else mm(h, back), cell

    return _sum(b, c), step


def _gru_steps(weights: list) -> tuple[Any, Step]:
    _, hidden, b, c = weights[:4]
    hidden = t(hidden)
    n = hidden.shape[0]

    def step(x: Any, state: State) -> State:
        (h,) = state
        own = mm(h, hidden) if c is None else addmm(c, h, hidden, beta=1, alpha=1)
        gates, fresh = split(x, sizes=(2 * n, n), axis=1)
        own_gates, own_fresh = split(own, sizes=(2 * n, n), axis=1)
        reset, keep = split(sigmoid(gates + own_gates), sizes=(n, n), axis=1)
        candidate = tanh(fresh + reset * own_fresh)
        return (candidate + keep * (h - candidate),)

    return b, step


def _plain_steps(activation: Callable) -> Callable[[list], tuple[Any, Step]]:
    def steps(weights: list) -> tuple[Any, Step]:
        _, hidden, b, c = weights[:4]
        hidden = t(hidden)
        return _sum(b, c), lambda x, state: (activation(addmm(x, state[0], hidden, beta=1, alpha=1)),)

    return steps


def _step_by_step(kind: str, x: Any, state: State, weights: list) -> tuple:
    """Return the states after all steps, one sequence each."""
    _, step = _STEPS[kind](weights)
    found = []
    for one in unbind(x, axis=0):
        state = step(one, state)
        found.append(state)
    return tuple([stack(*parts, axis=0) for parts in zip(*found, strict=True)])


def _sequence(kind: str, x: Any, state: State, weights: list) -> tuple:
    """Return the states after all steps, one sequence each, of what the inputs were projected to."""
    if kind != "lstm" or len(weights) > 4:
        return _step_by_step(kind, x, state, weights)
    h, c = [s if s.shape[0] == x.shape[1] else broadcast_to(s, shape=(x.shape[1], s.shape[1])) for s in state]
    return lstm_sequence(x, h, c, weights[1])[:2]


_STEPS = {"lstm": _lstm_steps, "gru": _gru_steps, "rnn_tanh": _plain_steps(tanh), "rnn_relu": _plain_steps(relu)}


# -- layers ------------------------------------------------------------------------------------------------------------


class _Packing:
    """Where the elements of packed sequences lie: packed, step after step, and side by side as long sequences.

    Attributes
    ----------
    rows : array of (steps, sequences)
        The packed place of each step of each sequence, 0 behind its end; `backward` has each sequence from its end.
    places : array
        The place among the steps side by side of each packed element; `backward` likewise.
    ends : array
        The place of each sequence's last step.
    """

    def __init__(self, batch_sizes: np.ndarray):
        steps, count = len(batch_sizes), int(batch_sizes[0])
        lengths = (batch_sizes[:, None] > np.arange(count)).sum(0)
        starts = np.cumsum(batch_sizes) - batch_sizes
        step, sequence = np.arange(steps)[:, None], np.arange(count)
        inside = step < lengths
        mirrored = np.maximum(lengths - 1 - step, 0)
        self.rows = np.where(inside, starts[:, None] + sequence, 0)
        self.backward_rows = np.where(inside, starts[mirrored] + sequence, 0)
        self.places = (step * count + sequence)[inside]
        self.backward_places = (mirrored * count + sequence)[inside]
        self.ends = (lengths - 1) * count + sequence


def _flat(x: Any) -> Any:
    return reshape(x, shape=(x.shape[0] * x.shape[1], *x.shape[2:]))


def _run(kind: str, x: Any, state: State, weights: list, backward: bool, packing: _Packing | None) -> tuple[Any, State]:
    """Return one direction of a layer: outputs in the layout of `x` (steps first, or packed), and the last state."""
    bias, _ = _STEPS[kind](weights)
    x = linear(x, weights[0], bias)
    if packing is not None:
        x = index(x, packing.backward_rows if backward else packing.rows, axes=(0,))
    elif backward:
        x = flip(x, axis=(0,))
    found = _sequence(kind, x, state, weights)
    if packing is None:
        return flip(found[0], axis=(0,)) if backward else found[0], tuple([getitem(s, index=(-1,)) for s in found])
    whole = [_flat(s) for s in found]
    out = index(whole[0], packing.backward_places if backward else packing.places, axes=(0,))
    return out, tuple(index(v, packing.ends, axes=(0,)) for v in whole)


def _network(kind: str, x: Any, states: Sequence, params: Sequence, options: tuple, packing: _Packing | None) -> tuple:
    """Return (outputs of the last layer, last states of all layers and directions, stacked)."""
    has_biases, layers, dropout, train, bidirectional = options
    directions = 2 if bidirectional else 1
    size = (4 if has_biases else 2) + (kind == "lstm" and _is_projected(states))
    if len(params) % size or len(params) // size < layers * directions:
        raise RuntimeError(f"{kind}(): expected {layers * directions} groups of {size} weights, got {len(params)} weights")
    for s in states:
        if s.shape[0] < layers * directions:
            raise RuntimeError("Expected more hidden states in stacked_rnn")
    last = []
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            k = layer * directions + direction
            weights: list[Any] = [as_tensor(w) for w in params[k * size : (k + 1) * size]]
            if not has_biases:
                weights[2:2] = [None, None]
            state = tuple(getitem(s, index=(k,)) for s in states)
            out, state = _run(kind, x, state, weights, direction == 1, packing)
            outputs.append(out)
            last.append(state)
        x = outputs[0] if directions == 1 else cat(outputs, outputs[0].ndim - 1)
        if dropout and train and layer < layers - 1:
            x = drop(x, dropout, True)
    return (x, *(stack(*parts, axis=0) for parts in zip(*last, strict=True)))


def _is_projected(states: Sequence) -> bool:
    return states[0].shape[-1] != states[1].shape[-1]


def _recurrent(kind: str, args: tuple) -> tuple:
    """Run a network on PyTorch's arguments: (input, hx, params, ..., batch_first) or (data, batch_sizes, hx, params, ...)."""
    x = as_tensor(args[0], kind)
    packing, batch_first = None, False
    if isinstance(args[1 if kind == "lstm" else 2], Tensor):  # batch_sizes, or the hx behind them
        packing = _Packing(np.asarray(innermost(args[1])))
        hx, params, *options = args[2:]
    else:
        hx, params, *options, batch_first = args[1:]
    states = [as_tensor(s) for s in (hx if kind == "lstm" else (hx,))]
    if kind == "lstm" and len(states) != 2:
        raise RuntimeError("lstm expects two hidden states")
    if packing is None and x.ndim != 3:
        raise IndexError(f"Dimension out of range (expected to be in range of [-{x.ndim}, {x.ndim - 1}], but got 2)")
    if batch_first:
        x = transpose(x, a=0, b=1)
    if not x.shape[0]:
        raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
    out, *last = _network(kind, x, states, params, tuple(options), packing)
    return (transpose(out, a=0, b=1) if batch_first else out, *last)


_DOC = """Return the outputs and the last {states} of {what}.

    Parameters
    ----------
    input : Tensor
        Of shape (L, N, in), or (N, L, in) with `batch_first`.
    hx : {given}
        The first state{s}, of shape (layers * directions, N, H).
    params : sequence of Tensor
        For each layer and direction ``w_ih``, ``w_hh`` and, with biases, ``b_ih`` and ``b_hh``{more}.
    has_biases : bool
        Whether there are biases.
    num_layers : int
        How many layers.
    dropout : float
        Probability that an element between layers is dropped, if `train`.
    train, bidirectional, batch_first : bool
        Drop; run from the end, too; the batch is the first axis.

    Packed sequences are given as ``(data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional)``.

    Returns
    -------
    tuple of Tensor
        The outputs, of shape (L, N, directions * H), and the last state{s}.

    Raises
    ------
    RuntimeError
        If states or weights are missing, or shapes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    {example}
    (chainrule.Size([5, 2, 3]), chainrule.Size([1, 2, 3]))
    """


def _declared(kind: str, what: str, gates: int) -> Callable:
    def function(*args: Any) -> tuple:
        return _recurrent(kind, args)

    lstm = kind == "lstm"
    first = "[cr.zeros(1, 2, 3), cr.zeros(1, 2, 3)]" if lstm else "cr.zeros(1, 2, 3)"
    g = gates * 3
    results = "y, h, c" if lstm else "y, h"
    example = (
        f">>> weights = [cr.ones({g}, 4), cr.ones({g}, 3), cr.ones({g}), cr.ones({g})]\n"
        f"    >>> {results} = cr.{kind}(cr.ones(5, 2, 4), {first}, weights, True, 1, 0.0, False, False, False)\n"
        "    >>> y.shape, h.shape"
    )
    function.__name__ = function.__qualname__ = kind
    function.__doc__ = _DOC.format(
        states="hidden and cell states" if lstm else "hidden state", what=what, s="s" if lstm else "",
        given="sequence of two Tensors" if lstm else "Tensor", example=example,
        more="; then ``w_hr``, if the hidden states are projected" if lstm else "",
    )  # fmt: skip
    return asks(function)


lstm = _declared("lstm", "a long short-term memory (Hochreiter & Schmidhuber 1997)", 4)
gru = _declared("gru", "gated recurrent units (arXiv 1406.1078)", 3)
rnn_tanh = _declared("rnn_tanh", "a recurrent network whose activation is tanh", 1)
rnn_relu = _declared("rnn_relu", "a recurrent network whose activation is relu", 1)


# -- cells -------------------------------------------------------------------------------------------------------------


def _cell(kind: str, input: Any, state: State, weights: tuple) -> State:
    x = as_tensor(input, kind)
    w_ih, w_hh = (as_tensor(w) for w in weights[:2])
    b = [None if w is None else as_tensor(w) for w in weights[2:]]
    if x.ndim < 2:
        raise IndexError(f"Dimension out of range (expected to be in range of [-{x.ndim}, {x.ndim - 1}], but got 1)")
    if x.shape[1] != w_ih.shape[1]:
        raise RuntimeError(f"input has inconsistent input_size: got {x.shape[1]} expected {w_ih.shape[1]}")
    for k, s in enumerate(state):
        if s.shape[0] != x.shape[0]:
            raise RuntimeError(f"Input batch size {x.shape[0]} doesn't match hidden{k} batch size {s.shape[0]}")
        if s.shape[1] != w_hh.shape[1]:
            raise RuntimeError(f"hidden{k} has inconsistent hidden_size: got {s.shape[1]}, expected {w_hh.shape[1]}")
    bias, step = _STEPS[kind]([w_ih, w_hh, *b])
    return step(linear(x, w_ih, bias), state)


@asks
def lstm_cell(
    input: Tensor, hx: Sequence[Tensor], w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the next hidden and cell states, of shape (N, H), of a long short-term memory.

    Raises
    ------
    RuntimeError
        If there are not two states, or shapes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> h, c = cr.lstm_cell(cr.ones(1, 2), (cr.zeros(1, 1), cr.zeros(1, 1)), cr.zeros(4, 2), cr.zeros(4, 1))
    >>> h, c
    (tensor([[0.]]), tensor([[0.]]))
    """
    if len(hx) != 2:
        raise RuntimeError("lstm_cell expects two hidden states")
    h, c = _cell("lstm", input, tuple(as_tensor(s) for s in hx), (w_ih, w_hh, b_ih, b_hh))
    return h, c


def _declared_cell(kind: str, what: str, gates: int) -> Callable:
    def function(
        input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
    ) -> Tensor:
        return _cell(kind, input, (as_tensor(hx),), (w_ih, w_hh, b_ih, b_hh))[0]

    function.__name__ = function.__qualname__ = f"{kind}_cell"
    function.__doc__ = f"""Return the next hidden state, of shape (N, H), of {what}.

    Raises
    ------
    RuntimeError
        If shapes do not fit.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.{kind}_cell(cr.ones(1, 2), cr.zeros(1, 1), cr.zeros({gates}, 2), cr.zeros({gates}, 1))
    tensor([[0.]])
    """
    return asks(function)


gru_cell = _declared_cell("gru", "a gated recurrent unit", 3)
rnn_tanh_cell = _declared_cell("rnn_tanh", "a recurrent network whose activation is tanh", 1)
rnn_relu_cell = _declared_cell("rnn_relu", "a recurrent network whose activation is relu", 1)

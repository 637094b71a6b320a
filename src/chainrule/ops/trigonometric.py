"""Trigonometric and hyperbolic functions and their inverses; angles are in radians."""

from __future__ import annotations

import numpy as np

from chainrule.core.op import elementwise

sin = elementwise("sin(x)", np.sin, dtype="float", lower="sin",
    x=lambda g, x: g * cos(x))  # fmt: skip

cos = elementwise("cos(x)", np.cos, dtype="float", lower="cos",
    x=lambda g, x: -g * sin(x))  # fmt: skip

tanh = elementwise("tanh(x)", np.tanh, dtype="float", lower="tanh",
    x=lambda g, out: g * (1 - out * out))  # fmt: skip

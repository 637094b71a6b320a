"""Vector math kernels as LLVM IR text: each written once for float32 and float64 and any number of lanes, without branches.

Results are within 2 units in the last place of the true value everywhere (of ``ndtr``, which is made for gelu and to be fast,
8), denormal numbers included, and IEEE 754's and C99
annex F's special values are theirs. The kernels use fused multiply-adds, which their accuracy rests on: on a processor
without them LLVM calls C's `fma` for each lane, so that results are the same and slow.
"""

from __future__ import annotations

from collections.abc import Callable

from chainrule.compiler.llvm.math import error, exponential, inverse, logarithm, power, trigonometric
from chainrule.compiler.llvm.math.body import Body, Value

_MODULES = {
    exponential: ("exp", "exp2", "expm1", "sinh", "cosh", "tanh"),
    logarithm: ("log", "log2", "log10", "log1p", "asinh", "acosh", "atanh"),
    trigonometric: ("sin", "cos", "tan"),
    inverse: ("asin", "acos", "atan", "atan2", "hypot"),
    power: ("pow",),
    error: ("erf", "erfc", "ndtr"),
}
FUNCTIONS: dict[str, Callable[..., Value]] = {
    name: getattr(module, name) for module, names in _MODULES.items() for name in names
}
BINARY = {"pow", "atan2", "hypot"}


def function(primitive: str, dtype: str, lanes: int) -> tuple[str, str]:
    """Return a kernel's name and its definitions in LLVM IR.

    Parameters
    ----------
    primitive : str
        One of `FUNCTIONS`.
    dtype : str
        "float32" or "float64".
    lanes : int
        Of the vectors that the kernel takes and gives; 1 for scalars.

    Returns
    -------
    tuple of str
        The name with its @, and the text of internal definitions, whose names all begin with it. LLVM's intrinsic functions
        need no declarations.

    Examples
    --------
    >>> name, text = function("exp", "float32", 16)
    >>> name, text.split("{")[0].strip()
    ('@cr_exp_f32x16', 'define internal <16 x float> @cr_exp_f32x16(<16 x float> %x) nounwind willreturn memory(none)')
    """
    name = f"@cr_{primitive}_f{dtype[5:]}x{lanes}"
    b = Body(name, dtype, lanes)
    names = ("%x", "%y") if primitive in BINARY else ("%x",)
    out = FUNCTIONS[primitive](b, *[Value(b, "f", x) for x in names])
    f = b.types["f"]
    head = f"define internal {f} {name}({', '.join([f'{f} {x}' for x in names])}) nounwind willreturn memory(none) {{"
    return name, "\n".join([*b.helpers, head, "entry:", *b.lines, f"  ret {f} {out.name}", "}", ""])

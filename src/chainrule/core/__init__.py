"""The core: dtypes, shapes, pytrees, grad mode, Tensor, the graph's nodes, and Op with its four constructors.

Nothing here knows a particular op; the rule book in ``chainrule.ops`` is written on top of it.
"""

import chainrule.core.call.functions  # noqa: F401 - ops, wherever they are declared, are made functions

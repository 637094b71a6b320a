"""What ``import torch`` finds in a process that was spawned by one in which chainrule stands in: the same.

Python gives such a process the search path of its parent, on which `chainrule.torch.alias.as_torch` has put this folder.
"""

import sys

from chainrule.torch.alias import as_torch

del sys.modules["torch"]  # this module, which nobody has seen
as_torch()

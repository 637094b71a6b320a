"""PyTorch's ``utils.tensorboard``: what a training logs, written as TensorBoard reads it, by the package ``tensorboard``."""

from __future__ import annotations

from chainrule.core.missing import tell_of_missing as _tell_of_missing

try:
    import tensorboard as _tensorboard  # noqa: F401
except ImportError as _error:
    raise ImportError("chainrule.utils.tensorboard writes by the package tensorboard: pip install tensorboard") from _error

from tensorboard.summary.writer.record_writer import RecordWriter

from chainrule.utils.tensorboard.writer import FileWriter, SummaryWriter

__all__ = ["FileWriter", "RecordWriter", "SummaryWriter"]

_tell_of_missing(__name__)

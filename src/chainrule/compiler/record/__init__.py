"""Recording: what a call computes, written down under level 0, with what it reads from Python and what it changes there."""

from chainrule.compiler.record.record import record
from chainrule.compiler.record.recording import Recording
from chainrule.compiler.record.replay import interpret, replay

__all__ = ["Recording", "interpret", "record", "replay"]

"""Recording: what a call computes, written down under level 0, with what it reads from Python and what it changes there."""

"""Levels: each use of a transform takes a fresh integer, above all that were in use when it began."""

from __future__ import annotations

from itertools import count

fresh_level = count(1).__next__

"""Functions that compare, sort, search and count."""

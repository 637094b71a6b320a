"""Ops that compare, sort, search and count."""

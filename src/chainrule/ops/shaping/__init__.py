"""Ops that change shapes and layouts, join and split, copy and cast."""

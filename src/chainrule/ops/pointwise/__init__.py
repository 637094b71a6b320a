"""Ops that map elements to elements."""

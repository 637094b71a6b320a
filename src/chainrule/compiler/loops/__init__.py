"""Loops: what elementwise work and the reductions that end it are made of, between the graph of ops and native code."""

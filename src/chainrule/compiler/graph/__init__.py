"""Graph passes: small pure functions from graph to graph, which keep a graph's values and make it cheaper to compute.

The graphs are what is left once derivatives have been taken: passes keep values, not what reverse mode would record of them.
Constants never change: whatever may be written to is an input. Equations of ops that are not pure, such as guards and random
draws, are never moved across each other, merged or removed. An output that a graph computes stays a value of its own: it
becomes no input, no constant and no other output.
"""

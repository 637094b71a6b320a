"""Graph passes: small pure functions from graph to graph, which keep a graph's values and make it cheaper to compute.

The graphs are what is left once derivatives have been taken: passes keep values, not what reverse mode would record of them.
Constants never change: whatever may be written to is an input. Equations of ops that are not pure, such as guards and random
draws, are never moved across each other, merged or removed; those of ops that may refuse values are not removed. Inputs and
outputs keep their variables, so that what knows a graph by these knows the new one; an output that a graph computes becomes no
input, no constant and no other output.
"""

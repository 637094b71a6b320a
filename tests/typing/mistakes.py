"""Mistakes, each of which type checkers find: on every line that ends in a comment, and on no other."""

import chainrule as cr
import chainrule.nn.functional as F

x = cr.ones(2)

cr.softmaxx(x)  # no such function
cr.zeros("a")  # no size
x.softmaxx(0)  # no such method
x + "a"  # no operand
cr.sin("a")  # no values
cr.sum(x, dims=0)  # no such parameter
cr.sin(x).shapes  # no such attribute
cr.zeros(2, dtype="float32")  # no dtype
cr.vmap(cr.func.grad(cr.sum))(x).softmaxx  # no such attribute of a gradient
cr.nn.Conv9(1)  # no such module
F.relu()  # an argument is missing
x.shape + 1  # no operand

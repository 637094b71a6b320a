"""The rule book: every primitive op, declared once, by topic.

Functions here map raw arrays to raw arrays and tensors to tensors; rules are written with them. PyTorch's public
names, arguments and defaults are adapted to these ops in ``chainrule.functions``.
"""

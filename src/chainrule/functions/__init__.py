"""PyTorch's public functions: its names, arguments and defaults, adapted to the ops of the rule book, or composed of them.

Declaring a public function also attaches it to `Tensor` where PyTorch has it as a method.
"""

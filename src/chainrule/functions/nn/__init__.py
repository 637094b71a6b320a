"""Public functions over `chainrule.ops.nn` that PyTorch has at its top level too; `chainrule.nn.functional` has all."""

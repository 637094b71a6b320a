"""What a tensor is: its memory and layout, autograd state, conversions and printing."""

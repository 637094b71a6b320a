"""Ops of neural networks that have rules of their own, for speed or accuracy."""

"""The small types below everything: dtypes and their promotion, shapes, devices, pytrees. Pure functions, tested alone."""

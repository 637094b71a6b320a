"""Modules, by the topics of nn.functional."""

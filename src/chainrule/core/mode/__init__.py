"""What is on in a thread and context: grad modes, the levels and scopes of transforms, watchers."""

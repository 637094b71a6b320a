"""What an op is: its declaration and table, its samples, how it runs on a batch, its rules on raw arrays."""

"""What is recorded when an op runs: plans, saved values, hooks, and how a user looks at them."""

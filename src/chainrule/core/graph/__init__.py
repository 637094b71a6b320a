"""The graph's vocabulary: nodes, edges, leaves, version counters, handles of hooks."""

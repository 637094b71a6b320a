"""A graph that one can walk through: ``chainrule.visualize`` writes a page for the browser, or a picture.

``recorded`` reads the graph, ``gradients`` its gradients, ``names`` what tensors are called; ``blocks`` folds it;
``description`` says it all as JSON, and ``page`` writes the file. What draws it is in ``assets``: one script for the page and
for pictures, over the layout library dagre.
"""

from chainrule.visualization.api import visualize

__all__ = ["visualize"]

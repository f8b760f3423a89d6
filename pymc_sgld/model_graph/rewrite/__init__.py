"""From the factors of a model to rows of them: the rewrite of the graph."""

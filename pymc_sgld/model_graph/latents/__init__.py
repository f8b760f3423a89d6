"""Latent variables of single rows, integrated out inside the graph."""

"""Hyperparameters drawn given the effects, and the effects given them."""

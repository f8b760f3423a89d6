"""The compiled loop, and the random numbers that feed it."""

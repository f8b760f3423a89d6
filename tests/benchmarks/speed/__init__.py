"""Speed, end to end and of single steps, beside loops written by hand and other libraries.

``make benchmark`` runs all of it, in about 20 minutes, and writes ``docs/benchmarks.md`` and
``docs/benchmarks.json``.
"""

"""Evidence: what is claimed of the samplers, measured on problems with known answers.

``python -m models evidence tuning`` runs the sampler that tunes itself on each problem and holds
its means and standard deviations against a reference. Failures are rows like all others.
"""

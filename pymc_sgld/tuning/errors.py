"""What tuning raises; a step method hands it on as PyMC's own."""


class TuningError(RuntimeError):
    """A model that cannot be tuned to: the message says why, and what to do."""

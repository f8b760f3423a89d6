"""What tuning raises; a step method hands it on as PyMC's own."""


class TuningError(RuntimeError):
    """A model that cannot be tuned to: the message says why, and what to do.

    ``model_at_fault`` says that no other sampler could do better: the posterior is improper, or
    its density is not finite or grows without bound.
    """

    def __init__(self, message: str, *, model_at_fault: bool = False) -> None:
        super().__init__(message)
        self.model_at_fault = model_at_fault

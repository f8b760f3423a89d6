"""What tuning raises; a step method hands it on as PyMC's own."""


class TuningError(RuntimeError):
    """A model that cannot be tuned to: the message says why, and what to do.

    ``model_at_fault`` says that no other sampler could do better: the posterior is improper, or
    its density is not finite or grows without bound. ``unbounded`` says that it is the latter,
    which of a hierarchy that is not split leaves a proper posterior.
    """

    def __init__(
        self, message: str, *, model_at_fault: bool = False, unbounded: bool = False
    ) -> None:
        super().__init__(message)
        self.model_at_fault, self.unbounded = model_at_fault, unbounded

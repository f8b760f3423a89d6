"""The exact gradient, on all rows at every step."""

from dataclasses import dataclass
from typing import ClassVar

from pymc_sgld.gradient_estimators.minibatch import Minibatch


@dataclass(frozen=True)
class Full(Minibatch):
    r"""The gradient on all rows, without noise.

    .. math:: \hat g(\theta) = \nabla \log p(\theta) + \sum_{i=1}^N \nabla \log p(y_i \mid \theta)

    A step costs one pass through the data for each gradient of the rule.
    """

    name: ClassVar[str] = "full"
    whole: ClassVar[bool] = True

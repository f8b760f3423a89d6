"""Every name of PyMC or PyTensor in use here that their documentation does not list.

They are importable without an underscore, but a release may move them; this is the one
file to look at then.
"""

from __future__ import annotations

from pymc.data import MinibatchOp
from pymc.distributions.distribution import PartialObservedRV
from pymc.logprob.basic import transformed_conditional_logp
from pymc.logprob.utils import CheckParameterValue, ParameterValueError
from pymc.variational.minibatch_rv import MinibatchRandomVariable
from pytensor.tensor.random.op import RandomVariable
from pytensor.tensor.subtensor import indices_from_subtensor

try:
    from pytensor.conditional.op import IfElse
except ImportError:  # its place in older PyTensor
    from pytensor.ifelse import IfElse

__all__ = [
    "CheckParameterValue",
    "IfElse",
    "MinibatchOp",
    "MinibatchRandomVariable",
    "ParameterValueError",
    "PartialObservedRV",
    "RandomVariable",
    "indices_from_subtensor",
    "transformed_conditional_logp",
]

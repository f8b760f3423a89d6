"""The samplers by name: a rule, a way to estimate the gradient, and defaults."""

from typing import Any, ClassVar

import pymc as pm

from pymc.step_methods.compound import Competence

from pymc_sgld import records
from pymc_sgld.chain import Cycles
from pymc_sgld.model_graph import uses_minibatch
from pymc_sgld.samplers import (
    Amagold,
    Badodab,
    Baoa,
    Baoab,
    ConstantSgd,
    GradientGuidedMonteCarlo,
    MetropolisAdjustedLangevin,
    NoseHooverThermostat,
    Obabo,
    PreconditionedLangevin,
    ReplicaExchangeLangevin,
    StochasticGradientFisherScoring,
    StochasticGradientHamiltonian,
    StochasticGradientLangevin,
)
from pymc_sgld.step_methods.auto import Auto
from pymc_sgld.step_methods.base import StochasticGradientStep
from pymc_sgld.validate import check_one_of

__all__ = [
    "AMAGOLD",
    "BADODAB",
    "BAOA",
    "BAOAB",
    "MALA",
    "OBABO",
    "PSGLD",
    "SAGALD",
    "SGFS",
    "SGGMC",
    "SGHMC",
    "SGLD",
    "SGLDCV",
    "SGNHT",
    "SVRGLD",
    "ULA",
    "Auto",
    "ConstantSGD",
    "CyclicalSGHMC",
    "CyclicalSGLD",
    "LeimkuhlerMatthews",
    "ReplicaExchangeSGLD",
]


class SGLD(StochasticGradientStep):
    """Stochastic-gradient Langevin dynamics (Welling and Teh 2011) as a PyMC step method.

    See :class:`pymc_sgld.samplers.StochasticGradientLangevin` for the update and its law, and
    :class:`StochasticGradientStep` for the parameters.

    Examples
    --------
    >>> with model:
    ...     idata = pm.sample(step=SGLD(batch_size=256))
    """

    name = "sgld"
    rule_class = StochasticGradientLangevin

    @staticmethod
    def competence(var: Any, has_grad: bool = False) -> Competence:
        """Take every variable of a model that holds `pm.Minibatch`, and of no other."""
        try:
            model = pm.modelcontext(None)
        except TypeError:  # no model on the context stack
            return Competence.INCOMPATIBLE
        return Competence.IDEAL if uses_minibatch(model) else Competence.INCOMPATIBLE


class SGHMC(StochasticGradientStep):
    """Stochastic-gradient Hamiltonian Monte Carlo (Chen et al. 2014): momentum and friction."""

    name = "sghmc"
    rule_class = StochasticGradientHamiltonian


class BAOA(StochasticGradientStep):
    """Langevin splitting with one gradient a step, its positions exact on a Gaussian."""

    name = "baoa"
    rule_class = Baoa


class LeimkuhlerMatthews(StochasticGradientStep):
    """BAOA at infinite friction: overdamped, with averaged noise; exact on a Gaussian."""

    name = "leimkuhler_matthews"
    rule_class = Baoa
    rule_defaults: ClassVar[dict[str, float]] = {"friction": float("inf")}


class BAOAB(StochasticGradientStep):
    """Symmetric Langevin splitting with two gradients a step; exact on a Gaussian."""

    name = "baoab"
    rule_class = Baoab


class OBABO(StochasticGradientStep):
    """Symmetric Langevin splitting around a leapfrog step, two gradients a step."""

    name = "obabo"
    rule_class = Obabo


class SGNHT(StochasticGradientStep):
    """Nose-Hoover thermostat (Ding et al. 2014): the friction adapts to the gradient's noise."""

    name = "sgnht"
    rule_class = NoseHooverThermostat


class BADODAB(StochasticGradientStep):
    """Adaptive Langevin (Leimkuhler and Shang 2016): SGNHT's thermostat, second-order splitting."""

    name = "badodab"
    rule_class = Badodab


class SGLDCV(StochasticGradientStep):
    """SGLD with a control variate centred at the mode (Baker et al. 2019): cost without N."""

    name = "sgld_cv"
    rule_class = StochasticGradientLangevin
    default_gradient = "control_variate"


class CyclicalSGLD(StochasticGradientStep):
    """SGLD in cycles (Zhang et al. 2020): large steps explore, draws come from the small ones.

    The step size falls from its largest along a cosine in each of ``cycles`` cycles, by the
    schedule :class:`pymc_sgld.schedules.repeated_cosine`. The first ``exploration`` of a cycle's
    steps look for other modes, and no draw of them is kept; they run before the first draw of the
    cycle. Injected noise is on in both stages. The tune phase is a cycle before the first. The
    statistic ``cycle`` says which draw belongs to which.

    ``step_size``, given as a number, is the largest. Left out, it is such that sampling begins at
    the sampling threshold, and so that no step would double a posterior variance.

    Notes
    -----
    A chain in cycles is not stationary: the draws of a cycle come from near the modes that its
    exploration ended in, weighted by where large steps end and not exactly by their mass.

    References
    ----------
    .. [1] Zhang, R., Li, C., Zhang, J., Chen, C. and Wilson, A. G. (2020). Cyclical stochastic
       gradient MCMC for Bayesian deep learning. ICLR. https://doi.org/10.48550/arXiv.1902.03932
    """

    name = "cyclical_sgld"
    rule_class = StochasticGradientLangevin
    cycles_class = Cycles


class CyclicalSGHMC(StochasticGradientStep):
    """SGHMC in cycles (Zhang et al. 2020): as cyclical SGLD, with momentum and friction.

    See :class:`CyclicalSGLD` for the cycles.
    """

    name = "cyclical_sghmc"
    rule_class = StochasticGradientHamiltonian
    cycles_class = Cycles


class ULA(StochasticGradientStep):
    """Unadjusted Langevin algorithm: SGLD's step on all rows, without noise of the gradient."""

    name = "ula"
    rule_class = StochasticGradientLangevin
    gradients = ("full",)
    default_gradient = "full"
    why_all_rows = "On batches this is 'sgld'."


class MALA(StochasticGradientStep):
    """Metropolis-adjusted Langevin algorithm on all rows: exact at every step size."""

    name = "mala"
    rule_class = MetropolisAdjustedLangevin
    gradients = ("full",)
    default_gradient = "full"
    statistics = (records.ACCEPTANCE_RATE,)
    why_all_rows = (
        "Its test needs the log-density of all rows: a test on a batch does not leave the "
        "posterior invariant. For batches take 'sggmc' or 'amagold', which test against all rows "
        "once a trajectory, or 'sgld'."
    )


class SGGMC(StochasticGradientStep):
    """OBABO on batches with a test against all rows (Garriga-Alonso and Fortuin 2021): exact."""

    name = "sggmc"
    rule_class = GradientGuidedMonteCarlo
    gradients = ("minibatch", "control_variate", "full")
    statistics = (records.ACCEPTANCE_RATE,)


class AMAGOLD(StochasticGradientStep):
    """SGHMC with a test against all rows once a trajectory (Zhang et al. 2020): exact."""

    name = "amagold"
    rule_class = Amagold
    gradients = ("minibatch", "control_variate", "full")
    statistics = (records.ACCEPTANCE_RATE,)


class ReplicaExchangeSGLD(StochasticGradientStep):
    """A cold and a hot replica of SGLD that swap places (Deng et al. 2020): for several modes."""

    name = "replica_exchange_sgld"
    rule_class = ReplicaExchangeLangevin
    gradients = ("minibatch", "control_variate", "full")  # the others follow one position
    statistics = (records.SWAP_RATE, records.HOT_RESTARTS)


class SVRGLD(StochasticGradientStep):
    """SGLD with a control variate that follows the chain (Dubey et al. 2016): no mode needed."""

    name = "svrg_ld"
    rule_class = StochasticGradientLangevin
    default_gradient = "svrg"


class SAGALD(StochasticGradientStep):
    """SGLD corrected by a table of past gradients, one for each block of rows (Dubey et al. 2016).

    See :class:`pymc_sgld.gradient_estimators.Saga`.
    """

    name = "saga_ld"
    rule_class = StochasticGradientLangevin
    default_gradient = "saga"


class PSGLD(StochasticGradientStep):
    """SGLD in a metric that follows the squared gradients as it runs (Li et al. 2016)."""

    name = "psgld"
    rule_class = PreconditionedLangevin


class SGFS(StochasticGradientStep):
    """Fisher scoring (Ahn et al. 2012): the batches' own noise is part of the noise it needs."""

    name = "sgfs"
    rule_class = StochasticGradientFisherScoring


class ConstantSGD(StochasticGradientStep):
    """SGD with a constant step as a sampler (Mandt et al. 2017): no noise but that of batches."""

    name = "constant_sgd"
    rule_class = ConstantSgd
    gradients: ClassVar[tuple[str, ...]] = ("minibatch", "control_variate")


REGISTRY: dict[str, type[StochasticGradientStep]] = {
    step_method.name: step_method
    for step_method in (
        Auto,
        SGLD,
        SGLDCV,
        SVRGLD,
        SAGALD,
        SGHMC,
        BAOA,
        LeimkuhlerMatthews,
        BAOAB,
        OBABO,
        SGNHT,
        BADODAB,
        CyclicalSGLD,
        CyclicalSGHMC,
        ULA,
        MALA,
        SGGMC,
        AMAGOLD,
        ReplicaExchangeSGLD,
        PSGLD,
        SGFS,
        ConstantSGD,
    )
}


def register() -> None:
    """Append the step methods to PyMC's list, once.

    PyMC then knows them by name. Only SGLD is ever chosen for a model, and that where its rows
    stand in ``pm.Minibatch``, which PyMC's own step methods cannot sample; the others are chosen
    by whoever writes ``step=`` or calls :func:`pymc_sgld.sample`.
    """
    for step_method in REGISTRY.values():
        if step_method not in pm.step_methods.STEP_METHODS:
            pm.step_methods.STEP_METHODS.append(step_method)


def check_sampler(sampler: Any) -> None:
    """Refuse what is no name of a sampler, such as a number of draws, where PyMC has that."""
    if isinstance(sampler, int) and not isinstance(sampler, bool):
        raise TypeError(
            f"The first argument of sample is the name of a sampler, found {sampler!r}. Write "
            f"sample(draws={sampler!r}), or sample('auto', {sampler!r})."
        )
    if isinstance(sampler, pm.Model):
        raise TypeError(
            "The first argument of sample is the name of a sampler, got a model. Write "
            "sample(model=model), or sample('auto', model=model)."
        )
    check_one_of("sampler", sampler, REGISTRY)

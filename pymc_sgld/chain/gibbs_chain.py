"""A chain in two blocks: steps on batches given the hyperparameters, and these given the rest."""

from dataclasses import dataclass, replace

import numpy as np

from pymc_sgld import schedules
from pymc_sgld.chain.chain import Chain
from pymc_sgld.chain.gibbs_beginning import GibbsBeginning, Hierarchy, TunedGibbs
from pymc_sgld.chain.interweaving import Interweaving
from pymc_sgld.chain.references import centre_parameters
from pymc_sgld.chain.state import Draw
from pymc_sgld.tuning import LinearChain, given_the_rest, is_better_centre, with_noise_left
from pymc_sgld.types import Array

_FEWEST_TUNE_DRAWS = 20  # to choose a centre by


@dataclass
class GibbsChain(Chain):
    r"""A chain that alternates between effects and hyperparameters.

    A draw is a run of steps on batches for everything that rows depend on, with the
    hyperparameters fixed and in coordinates that follow them, and then a draw of the
    hyperparameters from

    .. math:: p(\phi \mid \theta) \propto p(\phi)\, p(\theta \mid \phi),

    which holds no row. So the funnel of a scale and its effects needs no step size.
    """

    hierarchy: Hierarchy | None = None
    interweaving: Interweaving | None = None

    def begin(self, position: Array) -> Array:
        """Start from a draw of the run without data; the mode was found before."""
        state, tuned = self.state, self._tuned
        generator = self._streams().tuning()
        assert tuned.draws is not None
        start = tuned.draws[generator.integers(len(tuned.draws))].astype(position.dtype)
        finite = np.isfinite(self.block_function.full(start)[0])
        state.unreported_passes += 1
        state.metric, state.picture = tuned.metric, tuned.picture
        state.estimator_parameters, state.conditional_noise = (
            tuned.estimator_parameters,
            tuned.noise,
        )
        state.plan = self._planned()
        return start if finite else tuned.mode

    def draw(self, position: Array) -> Draw:
        """Run the steps of one draw given the hyperparameters, then draw these."""
        state = self.state
        if state.draw_number == state.tune and state.tune_draws:
            self._move_centre()
        generator = self._streams().between_draws(state.draw_number)
        self._condition(position, generator)
        tuning, drawn = state.tuning, super().draw(position)
        if drawn.diverging:
            return drawn
        assert self.hierarchy is not None
        moved, state.hyperparameter_state = self.hierarchy.hyperparameters.draw(
            drawn.position, generator, state.hyperparameter_state, tuning
        )
        moves, passes = self.interweaving, 0.0
        if moves is not None and state.draw_number % moves.every == 0:
            moved, passes = moves.move(
                moved, self.block_function, self.hierarchy.density, generator
            )
        return replace(drawn, position=moved, data_passes=drawn.data_passes + passes)

    def _condition(self, position: Array, generator: np.random.Generator) -> None:
        """Set coordinates, noise and momentum for the hyperparameters of a position."""
        state, curvature = self.state, self._tuned.curvature
        assert curvature is not None
        metric = curvature.metric(position)
        state.metric = metric
        if state.conditional_noise is not None:
            by_parameter, of_border = state.conditional_noise
            noise = np.where(metric.scale > 0, metric.scale**2 * by_parameter, of_border)
            state.gradient_noise = noise.astype(position.dtype)
        step = np.array([state.step_number])
        step_size = (
            schedules.evaluate("step_size", self.plan.step_size, step)[0] * state.step_factor
        )
        normal = generator.standard_normal(self.n_dim).astype(position.dtype)
        rule = self.settings.axes.rule
        state.extra_state = rule.restart(normal, float(step_size), self._temperature())

    def _move_centre(self) -> None:
        """Move the centre of the control variate to the mean of draws, if that is better."""
        state, picture, draws = self.state, self.state.picture, np.array(self.state.tune_draws)
        state.tune_draws = ()
        if not isinstance(picture, LinearChain) or len(draws) < _FEWEST_TUNE_DRAWS:
            return
        function, generator = self.block_function, self._streams().tuning()
        moving = self._tuned.curvature.moving  # type: ignore[union-attr]
        centre = draws.mean(axis=0).astype(function.dtype)
        conditional = given_the_rest(function, centre, moving)
        old = state.estimator_parameters[0][moving]
        better, passes = is_better_centre(
            conditional, centre[moving], old, draws[:, moving], picture.factor, generator
        )
        state.unreported_passes += passes
        if not better:
            return
        state.estimator_parameters = centre_parameters(function, centre)
        tuned, axes = self._tuned, self.settings.axes
        assert tuned.laplace is not None and tuned.covariance is not None
        spread = np.linalg.inv(tuned.covariance[np.ix_(moving, moving)])
        left = with_noise_left(
            conditional,
            axes.estimator,
            centre[moving],
            tuned.laplace.gaussian._replace(precision=spread, data_passes=0.0),
            1.0,
            generator,
            self.windows.scheme.row_probabilities,
        )
        state.unreported_passes += 1 + left.data_passes
        gaussian = left._replace(precision=tuned.laplace.gaussian.precision)
        tuned = replace(tuned, laplace=tuned.laplace._replace(gaussian=gaussian))
        tuned = self._gibbs_beginning().with_batches(tuned)
        state.picture, state.conditional_noise = tuned.picture, tuned.noise

    def _gibbs_beginning(self) -> GibbsBeginning:
        assert self.hierarchy is not None
        return GibbsBeginning(self._beginning(), self.hierarchy)

    @property
    def _tuned(self) -> TunedGibbs:
        assert isinstance(self.prepared, TunedGibbs)
        return self.prepared

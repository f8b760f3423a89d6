"""What comes before the first step: a start, and where it is wanted a mode with all it gives."""

from dataclasses import dataclass, replace

import numpy as np

from pymc.exceptions import SamplingError

from pymc_sgld.chain.references import centre_parameters
from pymc_sgld.chain.settings import Settings
from pymc_sgld.chain.state import LARGEST_MEASURED, ChainState, Tuned
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.preconditioners import (
    Averages,
    DenseMetric,
    DiagonalMetric,
    LowRank,
    LowRankMetric,
    Metric,
)
from pymc_sgld.row_sources import Windows
from pymc_sgld.samplers import ScaledRule
from pymc_sgld.tuning import (
    ExtremesChain,
    Laplace,
    LinearChain,
    LinearLaw,
    LocalGaussian,
    batch_noise,
    climb,
    diagonal_scales,
    extreme_directions,
    find_laplace,
    find_mode,
    improper_direction,
    is_better_centre,
    local_gaussian,
    sample_rows,
    stiffest_direction,
    typical_precision,
    with_noise_left,
)
from pymc_sgld.types import Array
from pymc_sgld.validate import and_more

_JITTER = 1.0  # half-width of PyMC's own jitter of starting points, in unconstrained space
_JITTER_RETRIES = 10
_NO_MODE = 100.0  # posterior sds of slope
_ROWS_TO_COMPARE = 2000  # of a sample on which the modes of two starts are compared
_STARTS_BESIDE = 6  # from which another mode is looked for, beside those of the chains
_WIDE_JITTER = 2.0  # of these
_ANOTHER_MODE = 1.0  # posterior sds of that sample, root mean square over the parameters
_FEWEST_TUNE_DRAWS = 20  # to choose a centre by
_LARGEST_BETWEEN = 200  # parameters; beyond, annealing knows the curvature at a mode only
_BATCHES_AT_START = 32  # for the first squares of gradients, where no mode gives them
_LEAST_NOISE = 1e-3  # relative to the temperature, in unit scales: it stirs in a thousand steps


@dataclass(frozen=True)
class Beginning:
    """The work before the first step; it writes what it finds into the chain's state."""

    settings: Settings
    block_function: BlockFunction
    windows: Windows
    state: ChainState
    generator: np.random.Generator
    labels: tuple[str, ...] = ()  # of the parameters, for messages

    def jittered(self, position: Array, half_width: float = _JITTER) -> Array:
        """Disperse the chains: PyMC starts all of them at one point on this path."""
        for _ in range(_JITTER_RETRIES):
            offset = self.generator.uniform(-half_width, half_width, len(position))
            moved = (position + offset).astype(position.dtype)
            value, gradient = self.block_function.full(moved)
            self.state.unreported_passes += 1
            if np.isfinite(value) and np.isfinite(gradient).all():
                return np.asarray(moved)
        return position

    def tuned(self, start: Array, temperature: float, prepared: Tuned | None = None) -> Array:
        """Find the mode, set metric, centre and noise there, and return a start near it.

        What was prepared is taken over, if from ``start`` the same mode is found.
        """
        tuned = prepared
        if prepared is not None:
            [(start, self.state.mode_distance)] = self._ends([start], prepared)
        if prepared is None or self.state.mode_distance > _ANOTHER_MODE:
            tuned = self.find(start, temperature)
            self.state.unreported_passes += tuned.data_passes
            if prepared is not None:  # the small climb may have stopped on its way
                self.state.mode_distance = _apart(tuned.mode, prepared)
                near = self.state.mode_distance < _ANOTHER_MODE
                tuned = prepared if near else tuned
        assert tuned is not None
        self.adopt(tuned)
        return self._near(tuned.mode, self._spread(tuned), temperature)

    def _spread(self, tuned: Tuned) -> Array:
        """Return a draw from the Gaussian picture around the mode, less the mode."""
        normal = self.generator.standard_normal(len(tuned.mode))
        if tuned.covariance is not None:
            return np.asarray(np.linalg.cholesky(tuned.covariance) @ normal)
        if tuned.metric.name == "low_rank":
            away = tuned.metric.to_position(normal, *tuned.metric.parameters())
            return np.asarray(away - tuned.mode)
        return diagonal_scales(self.block_function, tuned.mode, self.generator) * normal

    def find(self, start: Array, temperature: float) -> Tuned:
        """Work out what sampling needs to know of the model around a mode."""
        if len(start) > LARGEST_MEASURED:
            return self.find_by_products(start, temperature)
        found = find_laplace(self.block_function, start, self.generator)
        if self.settings.annealing and len(start) <= _LARGEST_BETWEEN:
            found = self._between(start, found)
        self.check(found)
        gaussian = self._with_noise_left(found.position, found.gaussian, temperature)
        return self.at(found, gaussian, temperature)

    def _between(self, start: Array, found: Laplace) -> Laplace:
        """Take the curvature between start and mode: a chain that anneals will see both."""
        precision, passes = typical_precision(
            self.block_function, start, found.position, self.generator
        )
        gaussian = found.gaussian._replace(
            precision=precision, data_passes=found.gaussian.data_passes + passes
        )
        covariance = np.full_like(precision, np.nan)
        if np.isfinite(precision).all():
            covariance = np.linalg.inv(precision)
        return found._replace(
            gaussian=gaussian, covariance=covariance, data_passes=found.data_passes + passes
        )

    def check(self, found: Laplace) -> None:
        """Raise where a search ended at no mode, or where the posterior has no width."""
        finite = np.isfinite(found.logp) and np.isfinite(found.covariance).all()
        if not (finite and found.score < _NO_MODE) or _narrower_than_floats(found):
            raise SamplingError(
                "No mode was found to tune at: where the search ended, the log-posterior is "
                f"{found.logp:.4g} and its slope {found.score:.3g} posterior sds (0 at a mode). It "
                "may grow without bound, as where data without scatter let a scale go to zero, or "
                "not be finite. Give proper priors that keep scales away from zero, initvals where "
                "the model is finite, or a step_size and preconditioner='identity'."
            )
        direction = improper_direction(self.block_function, found, self.generator)
        if direction is not None:
            raise SamplingError(
                f"The posterior is improper along {self._named(direction)}: the log-density does "
                "not fall there. A flat prior leaves that to the data, and these say nothing: a "
                "column of zeros, collinear columns, or outcomes that a column separates. Give "
                "these parameters proper priors, such as pm.Normal."
            )

    def _named(self, direction: Array) -> str:
        """Name the parameters that a direction is made of."""
        weight = np.abs(direction) / np.abs(direction).max()
        large = [j for j in np.argsort(-weight) if weight[j] > 0.1]
        return and_more(self.labels[j] if self.labels else f"entry {j}" for j in large)

    def at(self, found: Laplace, gaussian: LocalGaussian, temperature: float) -> Tuned:
        """Choose metric and centre at a mode.

        Parameters
        ----------
        found : Laplace
        gaussian : LocalGaussian
            The picture there, with the noise that the estimator of the gradient leaves.
        temperature : float
        """
        axes, function = self.settings.axes, self.block_function
        passes = found.data_passes + gaussian.data_passes - found.gaussian.data_passes
        parameters: tuple[Array, ...] = ()
        if axes.estimator.needs_mode:
            parameters = centre_parameters(function, found.position)
            passes += 1
        metric, learned = self.metric_at(found.position, gaussian, temperature)
        picture = self._picture(gaussian, metric, temperature)
        known = None
        if axes.noise_compensation:
            if isinstance(metric, DenseMetric):
                metric = metric.rotated(picture.noise)
                picture = self._picture(gaussian, metric, temperature)
            known = np.diag(picture.noise)
            self._check_noise(known, temperature)
            picture = replace(picture, known_noise=known)
            known = known.astype(function.dtype)
        return Tuned(
            mode=found.position,
            covariance=found.covariance,
            metric=metric,
            picture=picture,
            estimator_parameters=parameters,
            gradient_noise=known,
            learned=learned,
            expected_squares=self._expected_squares(gaussian, metric, temperature),
            score=found.score,
            data_passes=passes,
        )

    def adopt(self, tuned: Tuned) -> None:
        """Write what was found into the state of the chain."""
        state = self.state
        state.metric, state.picture = tuned.metric, tuned.picture
        state.estimator_parameters = tuned.estimator_parameters
        state.gradient_noise = tuned.gradient_noise
        state.learned, state.expected_squares = tuned.learned, tuned.expected_squares

    def measure(self, position: Array, temperature: float) -> None:
        """Measure curvature and gradient noise at a position."""
        if len(position) > LARGEST_MEASURED:
            return
        gaussian = local_gaussian(self.block_function, position, self.generator)
        if np.isfinite(gaussian.precision).all() and np.isfinite(gaussian.row_noise).all():
            left = self._with_noise_left(position, gaussian, temperature)
            self.state.picture = self._picture(left, self.state.metric, temperature)
            self.state.unreported_passes += left.data_passes

    def move_centre(self, temperature: float) -> None:
        """Move the centre of the control variate to the mean of draws, if that is the better one.

        The coordinates stay as they are, for the state of the rule is in them.
        """
        state, picture, draws = self.state, self.state.picture, np.array(self.state.tune_draws)
        state.tune_draws = ()
        if not isinstance(picture, LinearChain) or len(draws) < _FEWEST_TUNE_DRAWS:
            return
        centre = draws.mean(axis=0).astype(self.block_function.dtype)
        function, old = self.block_function, state.estimator_parameters[0]
        better, passes = is_better_centre(
            function, centre, old, draws, picture.factor, self.generator
        )
        state.unreported_passes += passes
        if not better:
            return
        state.estimator_parameters = centre_parameters(function, centre)
        inverse = np.linalg.inv(picture.factor)
        precision = inverse.T @ picture.precision @ inverse
        gaussian = LocalGaussian(precision, np.zeros((0, 0, 0)), 0.0)
        left = self._with_noise_left(centre, gaussian, temperature)
        state.unreported_passes += 1 + left.data_passes
        state.picture = self._picture(left, state.metric, temperature)
        if self.settings.axes.noise_compensation:
            known = np.diag(state.picture.noise)
            state.picture = replace(state.picture, known_noise=known)
            state.gradient_noise = known.astype(self.block_function.dtype)

    def _with_noise_left(
        self, position: Array, gaussian: LocalGaussian, temperature: float
    ) -> LocalGaussian:
        estimator = self.settings.axes.estimator
        return with_noise_left(
            self.block_function,
            estimator,
            position,
            gaussian,
            temperature,
            self.generator,
            self.windows.scheme.row_probabilities,
        )

    def _ends(self, starts: list[Array], prepared: Tuned) -> list[tuple[Array, float]]:
        """Return where climbs end, and how far from the prepared mode, in sds per parameter.

        All of them are on one small sample of the rows, and in its wider posterior sds.
        """
        function, factor = self.block_function, None
        if prepared.covariance is not None:
            factor = np.linalg.cholesky(prepared.covariance)
        rows = sample_rows(function, _ROWS_TO_COMPARE, self.generator)
        ends = [
            climb(function, rows, one, self.generator, factor=factor)
            for one in (prepared.mode, *starts)
        ]
        self.state.unreported_passes += sum(end.data_passes for end in ends)
        share = np.sqrt(sum(map(len, rows)) / sum(function.total_sizes))
        home = ends[0].position - prepared.mode
        places = [end.position for end in ends[1:]]
        return [(place, float(share * _apart(place - home, prepared))) for place in places]

    def other_mode(self, start: Array, prepared: Tuned) -> tuple[float, float]:
        """Climb from a few dispersed starts; return how far another mode lies, and data passes.

        The distance is in posterior sds, root mean square over the parameters; 0 if all the climbs
        end at the prepared mode.
        """
        passes = -self.state.unreported_passes
        far = 0.0
        one_side = [self.jittered(start, _WIDE_JITTER) for _ in range(_STARTS_BESIDE // 2)]
        # in pairs on either side: a mode and its mirror image are then seen more surely
        starts = [*one_side, *(2 * start - one for one in one_side)]
        for where, distance in self._ends(starts, prepared):
            if distance > _ANOTHER_MODE:
                # the small climb may have stopped on its way: a search on all rows decides
                found = find_laplace(self.block_function, where, self.generator)
                self.state.unreported_passes += found.data_passes
                apart = _apart(found.position, prepared)
                if np.isfinite(found.logp) and apart > _ANOTHER_MODE:
                    far = apart
                    break
        return far, passes + self.state.unreported_passes

    def metric_at(
        self, centre: Array, gaussian: LocalGaussian, temperature: float
    ) -> tuple[Metric, Averages | None]:
        """Return the metric for curvature and noise at the mode, and what it was learned from."""
        chosen = self.settings.preconditioner
        if not chosen.learns:
            return chosen.at_mode(centre, gaussian.precision), None
        identity = np.eye(len(centre))
        learned = chosen.expected(self._squares(gaussian, identity, temperature))
        if self.settings.step_size is None:
            scale = chosen.scale(learned)
            stiffest = np.linalg.eigvalsh(gaussian.precision * np.outer(scale, scale))[-1]
            learned = replace(learned, level=float(1 / stiffest))
        return chosen.metric(learned, centre), learned

    def batch_gradients(self, position: Array) -> Array:
        """Return the gradient of some batches at a position, shape (n_batches, n_dim)."""
        function, sizes = self.block_function, self.windows.batch_sizes
        gradients = []
        for _ in range(_BATCHES_AT_START):
            rows = function.random_rows(sizes, self.generator)
            gradients.append(function.batch(position, rows)[1])
        self.state.unreported_passes += _BATCHES_AT_START * self.windows.passes_per_step
        return np.array(gradients)

    def start_of_rule(self, position: Array, normal: Array, temperature: float) -> dict[str, Array]:
        """Return the extra state of the rule to begin with."""
        rule, state = self.settings.axes.rule, self.state
        if not isinstance(rule, ScaledRule):
            return rule.start(normal, temperature)
        squares = state.expected_squares
        if squares is None:
            parameters = state.metric.parameters()
            gradients = [
                state.metric.pull_back(one, *parameters) for one in self.batch_gradients(position)
            ]
            squares = np.mean(np.square(gradients), axis=0)
        return rule.start_from_squares(squares.astype(position.dtype))

    def find_by_products(self, start: Array, temperature: float) -> Tuned:
        """Find a mode, and what is to be known of it, without any n_dim x n_dim matrix."""
        chosen, function, settings = (
            self.settings.preconditioner,
            self.block_function,
            self.settings,
        )
        found = find_mode(function, start, self.generator)
        mode, passes = found.position, found.data_passes
        if not np.isfinite(found.logp):
            raise SamplingError(
                f"No mode was found to measure at: where the search ended, the log-posterior is "
                f"{found.logp:.4g}. Give initvals where the model is finite, stronger priors, or "
                "preconditioner='identity' with gradient='minibatch'."
            )
        tuned = Tuned(mode, None, self.state.metric, None)
        if settings.axes.estimator.needs_mode:
            tuned = replace(tuned, estimator_parameters=centre_parameters(function, mode))
            passes += 1
        if isinstance(chosen, LowRank):
            ends = extreme_directions(function, mode, self.generator, chosen.rank)
            passes += ends.data_passes
            metric = chosen.from_spectrum(mode, ends.scale, ends.values, ends.vectors, ends.gap)
            tuned = replace(tuned, metric=metric)
            if settings.step_size is None or settings.axes.noise_compensation:
                tuned = self._with_ends(tuned, temperature)
        elif chosen.name == "diagonal":
            scale = diagonal_scales(function, mode, self.generator)
            tuned = replace(tuned, metric=DiagonalMetric(mode, scale.astype(mode.dtype)))
        slope = tuned.metric.pull_back(function.full(mode)[1], *tuned.metric.parameters())
        score = float(np.sqrt(np.mean(np.square(slope))))
        return replace(tuned, score=score, data_passes=passes + 1 + tuned.data_passes)

    def _with_ends(self, tuned: Tuned, temperature: float) -> Tuned:
        """Scale the stiffest curvature to one, and measure the noise in these coordinates."""
        axes, function = self.settings.axes, self.block_function
        assert isinstance(tuned.metric, LowRankMetric)
        stiffest, direction, passes = stiffest_direction(function, tuned.metric, self.generator)
        scale = (tuned.metric.scale / np.sqrt(stiffest)).astype(tuned.mode.dtype)
        metric = replace(tuned.metric, scale=scale)
        noise = batch_noise(
            function,
            metric,
            np.column_stack([metric.directions, direction]),
            self.windows.batch_sizes.tolist(),
            control_variate=axes.estimator.reference_distance > 0,
            temperature=temperature,
            generator=self.generator,
        )
        # what lies between the directions of the metric is scaled to be as far below one as above
        picture = ExtremesChain(
            LinearLaw(axes.rule), stiffest**-2, 1.0, noise.largest, axes.noise_compensation
        )
        known = noise.by_coordinate.astype(function.dtype) if axes.noise_compensation else None
        return replace(
            tuned,
            metric=metric,
            picture=picture,
            gradient_noise=known,
            data_passes=passes + noise.data_passes,
        )

    def _near(self, mode: Array, spread: Array, temperature: float) -> Array:
        """Return the mode, moved by a draw from the posterior around it where that is finite."""
        position = (mode + np.sqrt(temperature) * spread).astype(mode.dtype)
        finite = np.isfinite(self.block_function.full(position)[0])
        self.state.unreported_passes += 1
        return np.asarray(position if finite else mode)

    def _check_noise(self, known: Array, temperature: float) -> None:
        """Refuse directions without noise for a rule that injects none."""
        rule = self.settings.axes.rule
        still = int((known < _LEAST_NOISE * temperature).sum())
        if rule.noise_vectors == 0 and still:
            raise SamplingError(
                f"{rule.name} moves by the noise of the batches alone, and in {still} of "
                f"{len(known)} directions they have next to none (parameters that no row informs, "
                "or batches of nearly all rows). Take a sampler that injects noise, such as "
                "'sgfs', which uses this noise too, or smaller batches."
            )

    def _noise_of_batches(self, gaussian: LocalGaussian) -> Array:
        return gaussian.gradient_noise(
            self.windows.total_sizes,
            self.windows.batch_sizes,
            with_replacement=self.windows.scheme.with_replacement,
        )

    def _squares(self, gaussian: LocalGaussian, factor: Array, temperature: float) -> Array:
        """Return the squared gradients expected at stationarity: its curvature plus its noise."""
        # the gradient P (theta - mode) has covariance T P
        covariance = temperature * gaussian.precision + self._noise_of_batches(gaussian)
        return np.asarray(((covariance @ factor) * factor).sum(axis=0))

    def _expected_squares(
        self, gaussian: LocalGaussian, metric: Metric, temperature: float
    ) -> Array | None:
        """Return the squared gradients by coordinate, for a rule that asks for them."""
        if not isinstance(self.settings.axes.rule, ScaledRule):
            return None
        return self._squares(gaussian, metric.matrix(), temperature)

    def _picture(self, gaussian: LocalGaussian, metric: Metric, temperature: float) -> LinearChain:
        """Return the sampler on the Gaussian picture, in the coordinates it moves in."""
        rule, noise = self.settings.axes.rule, self._noise_of_batches(gaussian)
        factor, time_scale = metric.matrix(), 1.0
        if isinstance(rule, ScaledRule):
            own = factor * rule.own_scales(self._squares(gaussian, factor, temperature))
            time_scale = float(1 / np.linalg.eigvalsh(own.T @ gaussian.precision @ own)[-1])
            factor = np.sqrt(time_scale) * own
        return LinearChain(
            LinearLaw(rule),
            factor.T @ gaussian.precision @ factor,
            factor.T @ noise @ factor,
            factor,
            time_scale=time_scale,
        )


def _narrower_than_floats(found: Laplace) -> bool:
    """Whether some posterior sd is below the spacing of numbers: only rounding made a mode there.

    Data without scatter let a scale go to zero until the rounding of the residuals stops it.
    """
    spacing = np.spacing(np.abs(found.position))
    return bool((np.sqrt(np.diag(found.covariance)) < spacing).any())


def _apart(position: Array, prepared: Tuned) -> float:
    """Return the distance from the prepared mode, root mean square in posterior sds."""
    apart = (position - prepared.mode).astype(float)
    if prepared.covariance is None:
        metric = prepared.metric
        whitened = metric.to_coordinates(position) - metric.to_coordinates(prepared.mode)
        square = float(np.mean(whitened**2))
    else:
        square = float(apart @ np.linalg.solve(prepared.covariance, apart) / len(apart))
    return float(np.sqrt(square)) if np.isfinite(square) else np.inf

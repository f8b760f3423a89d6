"""Against counted states: the field's density, the spins given it, bounds, and draws."""

import arviz as az
import numpy as np
import pytest

from scipy import special

from models import ising
from models.ising import Lattice

SMALL = Lattice(4, (1.5, 2.27, 4.0), field=0.1)


@pytest.fixture(scope="module")
def counted():
    return ising.enumerate_states(SMALL)


def all_states(n_spins):
    return 2 * ((np.arange(2**n_spins)[:, None] >> np.arange(n_spins)) & 1) - 1


def test_neighbours_are_those_on_a_torus():
    numbers = Lattice(4).neighbours
    assert sorted(numbers[5]) == [1, 4, 6, 9]
    assert sorted(numbers[0]) == [1, 3, 4, 12]
    matrix = np.eye(16)[numbers].sum(axis=1)
    np.testing.assert_array_equal(matrix, matrix.T)
    np.testing.assert_allclose(SMALL.times_matrix(np.eye(16)), matrix + SMALL.shift * np.eye(16))


def test_the_fields_density_is_a_mixture_over_all_states():
    """Sum over states of Boltzmann's weight times a Gaussian around the state, at random fields.

    Both sides integrate over the field, so the density integrates to Z.
    """
    betas = SMALL.betas
    matrix = SMALL.times_matrix(np.eye(16))
    states = all_states(16)
    energies = ising.energy(SMALL, states) * 16
    logp = ising.build_model(SMALL).compile_logp(mode="FAST_COMPILE")
    rng = np.random.default_rng(0)
    for scale in (0.3, 1.0):
        psi = scale * rng.normal(size=(3, 16))
        total = 0.0
        for beta, one in zip(betas, psi, strict=True):
            away = one - np.sqrt(beta) * states
            gaussian = -(away @ matrix * away).sum(axis=1) / 2
            gaussian += (np.linalg.slogdet(matrix)[1] - 16 * np.log(2 * np.pi)) / 2
            total += special.logsumexp(-beta * energies + gaussian)
        assert float(logp({"psi": psi})) == pytest.approx(total, rel=1e-10)


def test_spins_given_the_field():
    """Their odds are those of two states that differ in one spin, in the mixture above."""
    rng = np.random.default_rng(1)
    psi = rng.normal(size=(3, 16))
    drawn = ising.spins(SMALL, np.broadcast_to(psi, (20_000, 3, 16)), rng)
    beta, number = SMALL.betas[1], 5
    matrix = SMALL.times_matrix(np.eye(16))
    up, down = np.ones((2, 16))
    down[number] = -1
    exponents = []
    for state in (up, down):
        away = psi[1] - np.sqrt(beta) * state
        energy = 16 * float(ising.energy(SMALL, state))
        exponents.append(-beta * energy - away @ matrix @ away / 2)
    share = special.expit(exponents[0] - exponents[1])
    seen = (drawn[:, 1, number] == 1).mean()
    assert abs(seen - share) < 4 * np.sqrt(share * (1 - share) / 20_000)


def test_counted_states_against_the_transfer_matrix(counted):
    """Z of a torus is the trace of a power of the matrix from row to row."""
    rows = all_states(4)
    for beta, log_z in zip(SMALL.betas, counted["log_z"], strict=True):
        within = (rows * np.roll(rows, 1, axis=1)).sum(axis=1) + SMALL.field * rows.sum(axis=1)
        between = np.exp(beta * rows @ rows.T) * np.exp(beta * within)
        trace = np.trace(np.linalg.matrix_power(between, 4))
        assert log_z == pytest.approx(np.log(trace), rel=1e-12)
    # the energy is minus the slope of log Z in beta
    near = [ising.enumerate_states(Lattice(4, (1 / b,), field=0.1)) for b in (0.4999, 0.5001)]
    slope = (near[1]["log_z"].iloc[0] - near[0]["log_z"].iloc[0]) / 2e-4
    middle = ising.enumerate_states(Lattice(4, (2.0,), field=0.1))["energy"].iloc[0]
    assert middle == pytest.approx(-slope / 16, rel=1e-5)


def test_mean_field_solves_its_equation_and_bounds(counted):
    found = ising.mean_field(SMALL)
    beta = SMALL.betas
    np.testing.assert_allclose(found["m"], np.tanh(beta * (4 * found["m"] + 0.1)), atol=1e-10)
    assert (found["bound"] < counted["log_z"]).all()
    assert (found["bound"] > counted["log_z"] - 2).all()
    edges = ising.mean_field(Lattice(4, (3.9, 4.1)))["m"]  # its transition is at 4 J
    assert edges.iloc[0] > 0.2 and edges.iloc[1] < 1e-6


def test_onsager():
    """Limits, the energy at the transition (-sqrt 2), and free energy by integration."""
    assert ising.onsager_energy(1e-9 + ising.CRITICAL_TEMPERATURE) == pytest.approx(
        -np.sqrt(2), abs=1e-6
    )
    assert ising.onsager_magnetisation(2.0) == pytest.approx(0.911319, abs=1e-6)
    assert ising.onsager_magnetisation(2.3) == 0
    assert ising.onsager_energy(0.4) == pytest.approx(-2, abs=1e-4)
    assert ising.onsager_energy(50.0) == pytest.approx(-2 / 50, rel=1e-2)


def test_log_z_by_integration():
    lattice = Lattice(4, ising.COUNTED)
    exact = ising.enumerate_states(lattice)
    found = ising.integrated_log_z(lattice, exact["energy"].to_numpy())
    np.testing.assert_allclose(found, exact["log_z"], atol=0.01)


def test_refused():
    with pytest.raises(ValueError, match=r"size must be 3 at least, got 2"):
        Lattice(2)
    with pytest.raises(ValueError, match=r"shift must be > 4, got 4"):
        Lattice(4, shift=4)
    with pytest.raises(ValueError, match=r"2\^256 states are too many"):
        ising.enumerate_states(Lattice(16))
    with pytest.raises(ValueError, match=r"field must be >= 0"):
        ising.mean_field(Lattice(4, field=-1))


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("lattice", "names"),
    [
        # at H = 0 and little heat chains stay in one of two wells: m has no mean there, |m| has
        (Lattice(4, (1.5, 2.27, 4.0)), ("abs_m", "energy")),
        (Lattice(4, (3.0, 4.0, 6.0), field=0.1), ("abs_m", "energy", "m")),
    ],
)
def test_draws_against_counted_states(lattice, names):
    """Means within four errors, and 0.5 % for the scheme's bias."""
    exact = ising.enumerate_states(lattice)
    spins = ising.simulate(lattice, 4000, seed=2)
    measured = {
        "abs_m": np.abs(ising.magnetisation(spins)),
        "m": ising.magnetisation(spins),
        "energy": ising.energy(lattice, spins),
    }
    for name in names:
        for number, expected in enumerate(exact[name]):
            each = np.ascontiguousarray(measured[name][..., number])
            assert float(az.ess(each)) > 400
            error = each.std() / np.sqrt(float(az.ess(each)))
            assert abs(each.mean() - expected) < 4 * error + 0.005 * abs(expected), (name, number)


@pytest.mark.slow
def test_advi_bounds_from_below():
    lattice = Lattice(4, (1.5, 4.0))
    bound = ising.advi_bound(lattice)
    exact = ising.enumerate_states(lattice)["log_z"]
    assert (bound < exact).all() and (bound > exact - 4).all()

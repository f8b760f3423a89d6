"""Motor claims in Belgium, 1997: Poisson counts with an exposure, and a level for each area.

What it shows: a large count model with groups, as actuaries write it. 163,212 policies, most of
them without a claim; the time that each was in force is the exposure, and enters as an offset. The
first two digits of the postcode are the area, 80 of them with 246 to 6,291 policies. Their levels
come from one normal distribution whose sd is learnt, so that small areas borrow from the others.

The levels are written centred, ``level ~ Normal(mu, between)``: the two parameters above the levels
then only enter the prior, which is exact on any batch. Written as ``mu + between * raw`` they are
sampled in the same form: the library finds it.

With fewer policies the rows say less of an area than its neighbours do. The mode of all
parameters together is then no place to start from: the density grows without bound as ``between``
goes to 0 and the levels to ``mu``. "auto" measures this, and draws ``mu`` and ``between`` given the
levels, without reading a row.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pymc as pm

from scipy import special

from models._datasets import Array, held_out, load, some_rows, standardised

COMPARED = ("auto", "nuts", "advi")
_CONTINUOUS = {
    "ageph": "age of holder",
    "bm": "bonus-malus",
    "power": "power",
    "agec": "age of car",
}
_INDICATORS = {"sex": "male", "fuel": "diesel", "use": "work", "fleet": "fleet"}  # code 1
_COVERS = {1: "cover TPL+", 2: "cover TPL++"}


class Claims(NamedTuple):
    """Policies, one a row: four fifths to learn from, and the held-out fifth in ``test``."""

    x: Array  # (n_rows, n_covariates), standardised or indicators
    log_exposure: Array  # of years
    area: Array  # number of the area
    claims: Array
    covariates: list[str]
    areas: list[str]  # first two digits of the postcode
    places: Array  # (n_areas, 2): mean longitude and latitude of the policies, degrees
    test: "Claims | None" = None


def covariates(arrays: dict[str, Array]) -> tuple[list[str], Array]:
    """Return names and columns: continuous ones standardised, age also squared, indicators."""
    columns = {name: standardised(arrays[key]) for key, name in _CONTINUOUS.items()}
    columns["age of holder squared"] = columns["age of holder"] ** 2
    columns |= {name: arrays[key] == 1 for key, name in _INDICATORS.items()}
    columns |= {name: arrays["coverage"] == code for code, name in _COVERS.items()}
    return list(columns), np.column_stack(list(columns.values())).astype(float)


def load_data(rows: int | None = None) -> Claims:
    """Return the policies; ``rows`` of them, a fifth of which is held out."""
    arrays = load("motor_claims")
    names, x = covariates(arrays)
    labels, area = np.unique(arrays["postcode"].astype(int) // 100, return_inverse=True)
    counts = np.bincount(area)
    places = [np.bincount(area, weights=arrays[key]) / counts for key in ("long", "lat")]
    kept = some_rows(len(area), rows)
    test = held_out(len(area))[kept]

    def part(rows: Array, test: Claims | None = None) -> Claims:
        return Claims(
            x[rows],
            np.log(arrays["expo"][rows]),
            area[rows],
            arrays["nclaims"][rows].astype(int),
            names,
            [f"{label:02d}" for label in labels],
            np.stack(places, axis=1),
            test,
        )

    return part(kept[~test], part(kept[test]))


def build_model(data: Claims) -> pm.Model:
    """Declare the model."""
    coords = {"covariate": data.covariates, "area": data.areas}
    with pm.Model(coords=coords) as model:
        x = pm.Data("x", data.x, dims=("policy", "covariate"))
        log_exposure = pm.Data("log_exposure", data.log_exposure, dims="policy")
        of_policy = pm.Data("area_of_policy", data.area, dims="policy")

        # log of claims a year: 0.14 at the mean of its prior, within a factor of 7 at two sds
        mu = pm.Normal("mu", -2.0, 1.0)
        between = pm.HalfNormal("between", 0.5)
        level = pm.Normal("level", mu, between, dims="area")
        slope = pm.Normal("slope", 0.0, 0.5, dims="covariate")
        log_rate = log_exposure + level[of_policy] + (x * slope).sum(axis=1)
        observed = pm.Data("observed", data.claims, dims="policy")
        pm.Poisson("claims", pm.math.exp(log_rate), observed=observed, dims="policy")
    return model


def deviance(expected: Array, claims: Array) -> float:
    """Return the mean Poisson deviance of expected counts."""
    return float(np.mean(2 * (special.xlogy(claims, claims / expected) - claims + expected)))


def tables(draws: Any, data: Claims) -> dict[str, pd.DataFrame]:
    """Return the held-out deviance of the posterior mean, beside simpler predictions."""
    test = data.test
    if test is None:
        raise ValueError("These data have no held-out part. Take those of load_data().")
    posterior = (
        draws["posterior"]
        .to_dataset()
        .stack(sample=("chain", "draw"))
        .isel(sample=slice(None, None, 8))
    )
    level = posterior["level"].transpose("area", "sample").to_numpy()
    slope = posterior["slope"].transpose("covariate", "sample").to_numpy()
    years = np.exp(test.log_exposure)
    overall = data.claims.sum() / np.exp(data.log_exposure).sum()
    fixed = np.exp(level.mean(axis=0)[None] + test.x @ slope).mean(axis=1)
    full = np.exp(level[test.area] + test.x @ slope).mean(axis=1)
    expected = {
        "one rate for all": overall * np.ones(len(years)),
        "covariates, mean area": fixed,
        "covariates and area": full,
    }
    rows = {name: {"mean deviance": deviance(years * rate, test.claims)} for name, rate in
            expected.items()}  # fmt: skip
    return {"held-out policies": pd.DataFrame.from_dict(rows, orient="index")}


def show(draws: Any, data: Claims) -> dict[str, Any]:
    """Return the factors of the covariates, and the areas on a map."""
    return {"factors": _show_factors(draws), "areas": _show_areas(draws, data)}


def _show_factors(draws: Any) -> Any:
    import matplotlib.pyplot as plt

    factors = np.exp(draws["posterior"]["slope"])
    low, middle, high = factors.quantile([0.05, 0.5, 0.95], ("chain", "draw")).to_numpy()
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    place = np.arange(len(middle))[::-1]
    axes.errorbar(middle, place, xerr=[middle - low, high - middle], fmt="o", markersize=4)
    axes.axvline(1.0, color="0.7", linewidth=0.8, zorder=0)
    axes.set_yticks(place, factors["covariate"].to_numpy())
    axes.set_xlabel("factor on the claims a year (of one sd, or of the indicator)")
    axes.set_title("Median and 90 % interval", fontsize=10)
    return figure


def _show_areas(draws: Any, data: Claims) -> Any:
    import matplotlib.pyplot as plt

    from matplotlib.ticker import LogLocator, StrMethodFormatter

    posterior = draws["posterior"]
    effect = np.exp(posterior["level"] - posterior["mu"]).mean(("chain", "draw")).to_numpy()
    spread = (posterior["level"] - posterior["mu"]).std(("chain", "draw")).to_numpy()
    size = np.bincount(data.area, minlength=len(data.areas))
    years = np.bincount(data.area, weights=np.exp(data.log_exposure), minlength=len(size))
    claims = np.bincount(data.area, weights=data.claims, minlength=len(size))
    raw = claims / np.maximum(years, 1e-9) / (claims.sum() / years.sum())
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    image = left.scatter(*data.places.T, c=effect, s=6 + size / 30, cmap="RdBu_r", vmin=0.5,
                         vmax=1.5, edgecolors="0.3", linewidths=0.4)  # fmt: skip
    figure.colorbar(image, ax=left, label="factor on the claims of the mean area")
    left.set(xlabel="longitude, degrees east", ylabel="latitude, degrees north")
    left.set_aspect(1 / np.cos(np.deg2rad(50.5)))
    left.set_title("Areas by first two digits; size: policies", fontsize=10)
    right.axhline(1.0, color="0.8", linewidth=0.8)
    right.plot(size, raw, ".", color="0.6", label="claims of the area alone")
    bars: dict[str, Any] = {"fmt": "o", "markersize": 3, "linewidth": 0.8}
    right.errorbar(size, effect, yerr=2 * spread * effect, label="posterior, 2 sds", **bars)
    right.set(xscale="log", xlabel="policies in the area", ylabel="factor", ylim=(0, 2.5))
    right.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    right.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    right.minorticks_off()
    right.set_title("Small areas are drawn to the mean", fontsize=10)
    right.legend()
    return figure

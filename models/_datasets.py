"""The data of the models: from a folder, or fetched once from their public home.

A set is looked for in the folder that the environment variable PYMC_SGLD_DATA names (else in
``shared/data`` beside the checkout), as a compressed NumPy file. Where it is not there, the
original files are fetched from a fixed version of a public repository into the user's cache, and
refused if their SHA-256 is not the one in ``_public_files.txt``. Data of statsmodels and
scikit-learn come with those packages, and are loaded where they are used.
"""

import logging
import os

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import models

Array = np.ndarray[Any, Any]
VARIABLE = "PYMC_SGLD_DATA"
_PUBLIC_FILES = Path(__file__).with_name("_public_files.txt")
_log = logging.getLogger("pymc.sgld.models")


class MissingData(FileNotFoundError):
    """The data of a model are not on this machine, and cannot be fetched."""


@dataclass(frozen=True)
class DataSet:
    """Where a set comes from.

    Parameters
    ----------
    file : str
        Name in the folder, of a file that ``numpy.load`` reads.
    licence : str
        What its use asks for; logged when it is fetched.
    public : tuple of str
        Names in ``_public_files.txt`` of the originals; empty if there are none.
    read : callable
        Returns the arrays of the file in the folder from the paths of the originals.
    """

    file: str
    licence: str
    public: tuple[str, ...]
    read: Callable[[Mapping[str, Path]], dict[str, Array]]


def load(name: str) -> dict[str, Array]:
    """Return the arrays of a set of :data:`SETS`.

    Raises
    ------
    MissingData
        Where it is neither in the folder nor to be fetched; the message says what to do.
    """
    known = SETS[name]
    path = data_folder() / known.file
    if path.exists():
        with np.load(path) as arrays:
            return {key: arrays[key] for key in arrays.files}
    return known.read(_fetched(name, known))


def data_folder() -> Path:
    """Return the folder of the data, which need not exist."""
    beside = Path(models.__file__).parents[2] / "shared" / "data"
    return Path(os.environ.get(VARIABLE, beside))


def some_rows(n_rows: int, rows: int | None) -> Array:
    """Return the numbers of the rows to take: all, or ``rows`` at random, always the same.

    Parameters
    ----------
    n_rows : int
        Rows that there are.
    rows : int or None
        How many to take; None for all.
    """
    if rows is None:
        return np.arange(n_rows)
    if not 1 <= rows <= n_rows:
        raise ValueError(
            f"rows must be an integer from 1 to {n_rows:,}, the rows that there are, got {rows}."
        )
    return np.sort(np.random.default_rng(0).permutation(n_rows)[:rows])


def held_out(n_rows: int, share: float = 0.2, seed: int = 0) -> Array:
    """Return a mask of the rows that are kept for testing: the same share, at random."""
    place = np.random.default_rng(seed).permutation(n_rows)
    return np.asarray(place < round(share * n_rows))


def standardised(columns: Any, like: Any = None) -> Array:
    """Return columns less the mean and over the sd that they, or those of ``like``, have."""
    columns = np.asarray(columns, dtype=float)
    like = columns if like is None else np.asarray(like, dtype=float)
    return np.asarray((columns - like.mean(axis=0)) / like.std(axis=0))


def _fetched(name: str, known: DataSet) -> dict[str, Path]:
    """Return the paths of the originals in the cache, where they are fetched to if need be."""
    elsewhere = (
        f"Or get {known.file} from someone who has it, and set {VARIABLE} to the folder that it "
        "is in."
    )
    try:
        import pooch
    except ImportError as error:
        raise MissingData(
            f"The data of {name} ({known.file}) are not in {data_folder()}, and without pooch they "
            f"cannot be fetched. Write: pip install 'pymc-sgld[models]'. {elsewhere}"
        ) from error
    cache = pooch.create(path=pooch.os_cache("pymc_sgld"), base_url="")
    cache.load_registry(_PUBLIC_FILES)
    _log.info(f"Fetching the data of {name}, once, into {cache.path}. Licence: {known.licence}")
    try:
        return {file: Path(cache.fetch(file)) for file in known.public}
    except ValueError as error:  # a file with another checksum
        raise MissingData(
            f"A file of {name} is not the one that is known (its checksum is another): "
            f"{' '.join(str(error).split())} {elsewhere}"
        ) from error
    except OSError as error:  # what requests raises as well
        raise MissingData(
            f"The data of {name} ({known.file}) are not in {data_folder()}, and could not be "
            f"fetched from {cache.get_url(known.public[0])} ({type(error).__name__}). Try again "
            f"with a network: they are kept. {elsewhere}"
        ) from error


def _read_adult(paths: Mapping[str, Path]) -> dict[str, Array]:
    from sklearn.datasets import load_svmlight_file

    arrays = {}
    for part, file in (("train", "a9a"), ("test", "a9a.t")):
        x, y = load_svmlight_file(str(paths[file]), n_features=123)
        arrays[f"X_{part}"] = x.toarray().astype(np.uint8)
        arrays[f"y_{part}"] = (y > 0).astype(np.uint8)
    return arrays


def _read_claims(paths: Mapping[str, Path]) -> dict[str, Array]:
    try:
        import rdata
    except ImportError as error:
        raise MissingData(
            "The motor claims are an R file, which needs: pip install 'pymc-sgld[models]'."
        ) from error
    frame = rdata.read_rda(str(paths["beMTPL97.rda"]))["beMTPL97"]
    arrays = {}
    for column in frame.columns:
        values = frame[column]
        if hasattr(values, "cat"):
            arrays[f"{column}_levels"] = np.array(values.cat.categories, dtype=str)
            values = values.cat.codes
        arrays[column] = values.to_numpy(dtype=float)
    return arrays


def _read_regression(name: str, paths: Mapping[str, Path]) -> dict[str, Array]:
    table = np.loadtxt(paths[f"{name}/data.txt"])
    splits = [np.loadtxt(path) for file, path in paths.items() if "index_test" in file]
    return {"X": table[:, :-1], "y": table[:, -1], "test_idx": np.array(splits, dtype=int)}


def _regression(name: str, splits: int) -> DataSet:
    tests = (f"{name}/index_test_{i}.txt" for i in range(splits))
    return DataSet(
        f"uci/{name}.npz",
        "data of the UCI Machine Learning Repository (CC BY 4.0); the split files are under "
        "CC BY-NC 4.0 (Gal and Ghahramani 2016), not for commercial use",
        (f"{name}/data.txt", *tests),
        partial(_read_regression, name),
    )


SETS = {
    "adult_income": DataSet(
        "a9a.npz",
        "Becker and Kohavi (1996), Adult, UCI Machine Learning Repository, CC BY 4.0; as "
        "preprocessed by LIBSVM; copy in an Apache-2.0 repository",
        ("a9a", "a9a.t"),
        _read_adult,
    ),
    "motor_claims": DataSet(
        "bemtpl97.npz",
        "CASdatasets, GPL version 2 or later; cite Denuit and Lang (2004)",
        ("beMTPL97.rda",),
        _read_claims,
    ),
    "concrete": _regression("concrete", 20),
    "power_plant": _regression("power_plant", 20),
    "protein": _regression("protein", 5),
}

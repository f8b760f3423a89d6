"""Models to learn from and to compare samplers on, one a file.

What a file of this folder has, so that ``python -m models`` can list, run and compare it. The
first line of its docstring is what ``list`` prints. A new model is a new file and a page of its
name in ``docs/gallery``, nothing else; files whose name begins with an underscore are no models.

A model has both of

``load_data(rows=None)``
    The data, in any form. Of made-up data, ``rows`` are made; of real data, ``rows`` are taken at
    random, always the same ones (:func:`models._datasets.some_rows`). None: the usual number, or
    all there are.
``build_model(data)``
    The model, declared in plain PyMC: a :class:`pymc.Model`.

and may have

``SAMPLING``
    Arguments of :func:`pymc_sgld.sample`, with which ``run`` draws. The command line goes before
    them; where it names another sampler than they do, only draws, tune and chains are kept.
    Without them the sampler is "auto".
``COMPARED``
    What ``compare`` runs, as :func:`pymc_sgld.compare` takes it. Without it auto, NUTS and ADVI.
``REFERENCE``
    The label of ``COMPARED`` that ``compare`` measures the others by. Without it NUTS.
``VARIABLES``
    Names of the variables that the tables are about; without it all.
``reference(data)``
    What is known of the posterior without these samplers: a data frame with the columns ``mean``
    and ``sd``, and a row for each parameter, labelled as ArviZ labels it. ``run`` holds the draws
    against it.
``show(draws, data)``
    The figures that the model is known for, from the draws (a DataTree) and the data: a dictionary
    from names of files, without ending, to Matplotlib figures made by ``pyplot``.
``tables(draws, data)``
    Tables beside that of the parameters: a dictionary from titles to data frames.

An experiment that is more than draws from one model has

``run(options)``
    Takes :class:`models._running.Options` and returns a :class:`models._running.Result`: tables,
    figures, notes and, if there are any, draws. ``run`` on the command line then calls this, and
    none of the above; it prints and saves what is returned. ``options.sampling(defaults)`` merges
    the command line with defaults of its own, ``options.track`` shows progress.

A file with ``run`` alone is listed and run, and cannot be compared.
"""

import importlib
import pkgutil

from types import ModuleType


def names() -> list[str]:
    """Return the names of the models, in alphabetical order."""
    found = (one for one in pkgutil.iter_modules(__path__) if not one.ispkg)
    return sorted(one.name for one in found if one.name[0] != "_")


def load(name: str) -> ModuleType:
    """Return the module of a model."""
    return importlib.import_module(f"{__name__}.{name}")

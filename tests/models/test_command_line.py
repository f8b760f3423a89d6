from pathlib import Path

import pymc as pm
import pytest

import models

from models.__main__ import main


@pytest.mark.parametrize("name", models.names())
def test_every_file_declares_a_model(name):
    module = models.load(name)
    assert module.__doc__.splitlines()[0].endswith(".")
    model = module.build_model(module.load_data())
    assert isinstance(model, pm.Model)
    assert model.free_RVs and model.observed_RVs


def test_names_are_the_files():
    folder = Path(models.__file__).parent
    assert models.names() == sorted(path.stem for path in folder.glob("[a-z]*.py"))
    assert "health_visits" in models.names()


def test_list(capsys):
    main(["list"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == models.names()


def test_unknown_model_names_those_there_are(capsys):
    with pytest.raises(SystemExit):
        main(["compare", "no_such_model"])
    assert "health_visits" in capsys.readouterr().err

"""Pictures and the HTML report: every figure of the tables is in it, and nothing from outside."""

import base64
import re

from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

from matplotlib.figure import Figure
from xarray import DataTree

from pymc_sgld.comparison import summarise
from pymc_sgld.comparison.columns import known_columns
from pymc_sgld.comparison.phase_plots import INJECTED, OF_BATCHES, noise_variances

CHAINS, DRAWS, TUNE = 2, 60, 20


def tree(seed, shift=0.0, attrs=None, noise_ratio=None):
    rng = np.random.default_rng(seed)
    draws = {
        "a": (("chain", "draw"), shift + rng.normal(size=(CHAINS, DRAWS))),
        "b": (("chain", "draw", "side"), rng.normal(size=(CHAINS, DRAWS, 2))),
    }
    coords = {"chain": range(CHAINS), "draw": range(DRAWS), "side": ["left", "<right>"]}
    groups = {"posterior": xr.Dataset(draws, coords=coords, attrs=attrs or {})}
    if noise_ratio is not None:
        warm = {name: (dims, values[:, :TUNE]) for name, (dims, values) in draws.items()}
        groups["warmup_posterior"] = xr.Dataset(warm, coords={"side": coords["side"]})
        for group, length, ratio in (
            ("warmup_sample_stats", TUNE, np.nan),
            ("sample_stats", DRAWS, noise_ratio),
        ):
            sizes = {"step_size": 0.01, "temperature": 2.0, "gradient_noise_ratio": ratio}
            groups[group] = xr.Dataset(
                {k: (("chain", "draw"), np.full((CHAINS, length), v)) for k, v in sizes.items()}
            )
    return DataTree.from_dict(groups)


@pytest.fixture(scope="module")
def found():
    fit = {"sampler": "advi", "independent_draws": 1, "iterations": 7, "converged": 0}
    results = {
        "nuts": tree(1),
        "sgld & co": tree(2, shift=0.5, noise_ratio=0.25),
        "advi": tree(3, attrs=fit),
    }
    return summarise(results, reference="nuts")


class Page(HTMLParser):
    """Collects text, tags, and what is fetched from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.words, self.tags, self.references, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.references += [v for k, v in attrs if k in ("src", "href", "srcset", "data")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def html(found, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "new" / "report.html"
    assert found.to_html(path, "A title & more") == path
    return path.read_text(encoding="utf-8")


def test_every_value_of_the_tables_is_in_the_report(found, html):
    words = Page(html).words
    for column in known_columns(found.table):
        assert column.heading.format(reference="nuts") in words
        assert column.meaning in words
        for _, row in found.table.iterrows():
            assert column.cell(row) in words
    for name, form in {"mean": "{:.4g}", "sd_ratio": "{:.3f}", "wasserstein": "{:.3f}"}.items():
        for value in found.parameters[name]:
            assert form.format(value) in words
    text = "".join(words)
    for note in found.notes:
        assert note in text
    assert "A title & more" in words and "b[<right>]" in words


def test_the_report_stands_alone(html):
    page = Page(html)
    assert not page.open and not set(page.tags) & {"script", "link", "iframe", "object"}
    outside = [r for r in page.references if not r.startswith(("data:image/png;base64,", "#"))]
    assert outside == []
    assert "http" not in re.sub(r"base64,[^\"]*", "", html) and "url(" not in html


def test_verdicts_are_coloured_by_what_they_say(found, html):
    cards = dict(re.findall(r'class="card (\w+)"><h3>(.*?)</h3>', html))
    classes = {"close": "close", "off": "off", "cannot tell": "unsure", "reference": "reference"}
    by_label = {label: name for name, label in re.findall(r'card (\w+)"><h3>(.*?)</h3>', html)}
    assert len(by_label) == len(found.table) and cards
    for label, row in found.table.iterrows():
        assert by_label[label.replace("&", "&amp;")] == classes[row["verdict"]]


def test_pictures_are_written_and_each_has_a_caption(found, tmp_path, html, capsys, monkeypatch):
    drawn = []
    draw = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda *a, **k: (drawn.append(a), draw(*a, **k)))
    report, *written = found.write(tmp_path, "A title & more", progressbar=True)
    assert "Plots" in capsys.readouterr().out
    assert Page(report.read_text(encoding="utf-8")).words == Page(html).words
    names = [path.name for path in written if path.suffix == ".png"]
    assert names == [
        "forest.png", "densities.png", "ecdf_difference.png", "rank_nuts.png", "trace_nuts.png",
        "rank_sgld_co.png", "trace_sgld_co.png", "noise_phases.png",
    ]  # fmt: skip
    assert len(drawn) == len(names), "each once, for the file and for the report"
    pictures = [(tmp_path / name).read_bytes() for name in names]
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert all(base64.b64encode(one).decode() in report.read_text() for one in pictures)
    draws = [path.name for path in written if path.name not in names]
    assert draws == ["nuts.nc", "sgld_co.nc", "advi.nc"]
    assert html.count("<figcaption>") == html.count("<img") == len(names)


def test_another_backend_draws_the_same(found):
    figures = {figure.name: figure.plot for figure in found.figures(backend="none")}
    assert set(figures) >= {"forest", "ecdf_difference", "rank_nuts", "noise_phases"}
    # Tuning before 0, and a band over it.
    trace = figures["trace_sgld_co"].viz
    assert trace["trace"]["a"].sel(chain=0).item()["x"].min() == -TUNE
    assert "ref_band" in trace
    assert "ref_band" not in figures["trace_nuts"].viz
    titles = figures["ecdf_difference"].viz["title"]
    assert titles["b[left]"].item()["string"] == "b[left]"
    # Of a method that is shifted by half an sd the difference is that of the two ECDFs.
    one = figures["ecdf_difference"].viz["difference"]["a"].sel(sampler="sgld & co").item()
    ours, other = (np.sort(found.results[k]["posterior"]["a"].values.ravel()) for k in
                   ("sgld & co", "nuts"))  # fmt: skip
    median = np.median(other)
    at_half = np.interp(0.5, one["x"], one["y"])
    np.testing.assert_allclose(at_half, (ours <= median).mean() - 0.5, atol=0.02)


def test_unknown_backend(found):
    with pytest.raises(ValueError, match=r"backend must be one of 'matplotlib', .* got 'gnuplot'"):
        found.figures("gnuplot")


def test_noise_of_batches_against_injected_noise():
    """A step injects 2 h T, and batches add h^2 v = 2 h T alpha."""
    variances = noise_variances(tree(0, noise_ratio=0.25))["variance"]
    assert variances["draw"].to_numpy()[[0, -1]].tolist() == [-TUNE, DRAWS - 1]
    np.testing.assert_allclose(variances.sel(noise=INJECTED), 2 * 0.01 * 2.0)
    drawn = variances.sel(noise=OF_BATCHES, draw=slice(0, None))
    np.testing.assert_allclose(drawn, 0.25 * 2 * 0.01 * 2.0)
    assert np.isnan(variances.sel(noise=OF_BATCHES, draw=slice(None, -1))).all()
    assert noise_variances(tree(0)) is None
    assert noise_variances(tree(0, noise_ratio=np.inf)) is None

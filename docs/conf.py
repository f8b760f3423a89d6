"""How the site is built: `make docs`, into build/docs."""

import os
import sys

from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs/_extensions")]
# the gallery imports the models, in a process of its own
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])

import pymc_sgld  # noqa: E402

project = "pymc_sgld"
author = "the authors of pymc_sgld"
copyright = f"{datetime.now(UTC).year}, {author}"
version = release = pymc_sgld.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_design",
    "drawn",
]
if os.environ.get("DOCS_INTERSPHINX"):  # which asks other sites
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3/", None),
        "numpy": ("https://numpy.org/doc/stable/", None),
        "pymc": ("https://www.pymc.io/projects/docs/en/stable/", None),
        "arviz": ("https://python.arviz.org/en/stable/", None),
    }
exclude_patterns = ["_templates", "_extensions", "**/.ipynb_checkpoints"]
templates_path = ["_templates"]

# pages
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

# the gallery: run by `make docs`, shown without output by `make docs EXECUTE=off`
nb_execution_mode = {"on": "cache", "force": "force", "off": "off"}[
    os.environ.get("DOCS_EXECUTE", "on")
]
nb_execution_cache_path = str(ROOT / "build/.jupyter_cache")
nb_execution_timeout = 1800
nb_execution_raise_on_error = True
nb_execution_excludepatterns = os.environ.get("DOCS_NOT_EXECUTED", "").split()
nb_merge_streams = True
suppress_warnings = ["myst-nb.lexer"]  # of cells that are not run, which are coloured all the same

# reference
autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "groupwise"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
numpydoc_validation_checks = {"GL08", "PR10", "SS01", "YD01"}
add_module_names = False

html_math_renderer = "mathml"
html_theme = "pymc_sphinx_theme"
html_title = "pymc_sgld"
html_logo = "_static/logo.svg"
html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {"text": "pymc_sgld"},
    "navbar_start": ["navbar-logo"],
    "navbar_end": ["theme-switcher"],
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
}

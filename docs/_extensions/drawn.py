"""What the site draws itself: formulas as MathML, pictures with links, pages that use a sampler."""

import re

from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.logging import getLogger

from pymc_sgld.step_methods.registry import REGISTRY

ROOT = Path(__file__).parents[2]
GALLERY = ROOT / "docs/gallery"
_SIZES = re.compile(r"\\(?:textstyle|[Bb]igg?[lr]?)(?![a-zA-Z])")  # which MathML chooses itself
_ACCENTED = re.compile(
    r"\\(?:hat|tilde|bar)\s*(?:\w|\\[a-zA-Z]+|\{[^{}]*\})"
)  # which {} parts from an index
_log = getLogger(__name__)


def _formula(translator: Any, node: Any) -> None:
    """Browsers show MathML themselves: nothing is loaded from elsewhere, nor from a script."""
    is_block = isinstance(node, nodes.math_block)
    code = node.astext()
    if is_block and "\\\\" in code and "\\begin" not in code:
        code = f"\\begin{{aligned}}{code}\\end{{aligned}}"
    try:
        code = _ACCENTED.sub(r"\g<0>{}", _SIZES.sub("", code)).replace("\\tfrac", "\\frac")
        formula = tex2mathml(code, is_block)
    except MathError as error:
        _log.warning("a formula cannot be drawn: %s: %s", code, error, location=node)
        formula = f"<code>{escape(code)}</code>"
    translator.body.append(f'<div class="math">{formula}</div>' if is_block else formula)
    raise nodes.SkipNode


class _ClickablePictures(SphinxPostTransform):
    """Put a drawing into its page, where its links can be clicked; those of an image cannot."""

    default_priority = 5  # before images are copied
    formats = ("html",)

    def run(self, **_: Any) -> None:
        for image in list(self.document.findall(nodes.image)):
            if "drawing" not in image.get("classes", []):
                continue
            source = self.env.doc2path(self.env.docname)
            drawing = (Path(source).parent / Path(image["uri"]).name).read_text()
            drawing = re.sub(r"^<\?xml.*?\?>", "", drawing)
            html = f'<div class="drawing">{drawing}</div>'
            image.replace_self(nodes.raw("", html, format="html"))


class _Thumbnails(SphinxPostTransform):
    """Before each page of the gallery's lists, put the first picture that its run has made."""

    default_priority = 5
    formats = ("html",)

    def run(self, **_: Any) -> None:
        if self.env.docname != "gallery/index":
            return
        self.document[0]["classes"].append("gallery")
        for item in self.document.findall(nodes.list_item):
            link = next(iter(item.findall(pending_xref)), None)
            if link is None:
                continue
            page = f"gallery/{Path(link['reftarget']).stem}"
            made = [image["uri"] for image in self.env.get_doctree(page).findall(nodes.image)]
            if made:  # nothing where the gallery is not run
                picture = nodes.image(uri=made[0], candidates={"*": made[0]}, alt="")
                self.env.images.add_file(self.env.docname, made[0])
                item.insert(0, picture)


def pages_by_sampler() -> dict[str, list[str]]:
    """Return the pages of the gallery that name a sampler, or whose model takes it."""
    pages: dict[str, list[str]] = {name: [] for name in REGISTRY}
    for page in sorted(GALLERY.glob("*.md")):
        module = ROOT / "models" / f"{page.stem}.py"
        if not module.exists():
            continue
        text = page.read_text()
        taken = set(re.findall(r"[`\"]([a-z_]+)[`\"]", text))
        taken |= set(re.findall(r'"sampler": "(\w+)"|sample\("(\w+)"', module.read_text()))
        flat = {one for name in taken for one in ([name] if isinstance(name, str) else name)}
        for name in REGISTRY:
            if name in flat or page.stem == "exact_posteriors":
                pages[name].append(page.stem)
    return pages


def _add_mini_gallery(
    app: Sphinx, what: str, name: str, described: Any, options: Any, lines: list[str]
) -> None:
    """Under a step method, say how it is called by name and which pages use it."""
    by_class = {method: sampler for sampler, method in REGISTRY.items()}
    if what != "class" or described not in by_class:
        return
    sampler = by_class[described]
    links = ", ".join(f":doc:`/gallery/{page}`" for page in pages_by_sampler()[sampler])
    lines += ["", ".. rubric:: By its name, and in the gallery", ""]
    rule = f"pymc_sgld.samplers.{described.rule_class.__name__}"
    lines += [
        f'``psg.sample("{sampler}")``. Its update and the law of it: :class:`~{rule}`.',
        "Its arguments: :class:`~pymc_sgld.step_methods.StochasticGradientStep`.",
        f"Pages that use it: {links}.",
        "",
    ]


def _colour_cells(app: Sphinx, doctree: nodes.document) -> None:
    """Colour the cells of pages that were not run, too: only the run knows their language."""
    for cell in doctree.findall(
        lambda node: "cell_input" in getattr(node, "attributes", {}).get("classes", [])
    ):
        for block in cell.findall(nodes.literal_block):
            block["language"] = "ipython3"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_html_math_renderer("mathml", (_formula, None), (_formula, None))
    app.add_post_transform(_ClickablePictures)
    app.add_post_transform(_Thumbnails)
    app.connect("doctree-read", _colour_cells)
    app.connect("env-get-outdated", lambda *_: ["gallery/index"])  # of pictures of other pages
    app.connect("autodoc-process-docstring", _add_mini_gallery, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

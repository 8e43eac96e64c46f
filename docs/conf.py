"""The site: plain pages, pages whose cells run while it is built, and a reference that is written by the code."""

import inspect
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

from myst_nb.core import render

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_site"))

import notebooks  # noqa: E402
import reference  # noqa: E402

import atomprint  # noqa: E402

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # data of pages are small
    os.environ.setdefault(name, "1")

MATHJAX = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax" / "tex-svg-full.js"

project = "atomprint"
author = "The atomprint developers"
copyright = f"2026, {author}"
release = version = atomprint.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "myst_nb",
]
templates_path = ["_templates"]
exclude_patterns = ["build"]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb"}  # the first is that of the reference

# Pages
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "build" / "cells")
nb_execution_timeout = 900  # of a cell, in seconds that other work on the machine counts in, too
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
nb_output_stderr = "warn"  # nobody reads warnings in a lesson

# Reference
autosummary_generate = True
autodoc_typehints = "none"  # docstrings say types, shapes and units
autodoc_member_order = "bysource"
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_google_docstring = False
toc_object_entries_show_parents = "hide"
suppress_warnings = ["ref.python"]  # words of types, such as n_atoms, are names of attributes, too

# Looks. No file comes from another machine: MathJax is the one of sphinx-mathjax-offline, in a file without fonts.
html_theme = "furo"
html_title = "atomprint"
html_static_path = ["_site/static", str(MATHJAX)]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
mathjax_path = "tex-svg-full.js"
mathjax3_config = {"options": {"enableMenu": False}}
pygments_style = "tango"
copybutton_exclude = ".linenos, .gp, .go"


def outward_links(app, name, content):
    """Show files of the repository that are no pages by their paths, as the site has no other place for them."""
    depth = name.count("/") + 1
    content[0] = re.sub(rf"\[([^]]*)\]\((?:\.\./){{{depth}}}([^)#]+)[^)]*\)", r"\1 (`\2`)", content[0])


def other_pages(app, name, content):
    """List in ``how-to`` the pages that no other list of contents has: a new page needs no more than a heading."""
    if name == "how-to/index":
        lists = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("*/index.md"))
        pages = sorted(path.stem for path in HERE.glob("*.md") if path.stem != "index")
        others = [f"/{page}" for page in pages if not re.search(rf"^/{re.escape(page)}$", lists, re.M)]
        content[0] = content[0].replace("<other pages>", "\n".join(others))


def as_notebook(app, name, content):
    """Offer pages whose cells run as notebooks and scripts."""
    if name == "index" or "```{code-cell}" not in content[0]:
        return
    links = []
    for write, ending in ((notebooks.notebook, "ipynb"), (notebooks.script, "py")):
        path = HERE / "build" / "notebooks" / f"{name}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(write(content[0]), encoding="utf-8")
        links.append(f"{{download}}`{write.__name__} </{path.relative_to(HERE).as_posix()}>`")
    line = f"This page as a {links[0]}, as a {links[1]}."
    content[0] = re.sub(r"^(# .*\n)", rf"\1\n{line}\n", content[0], count=1, flags=re.M)


def only_own(app, what, name, obj, skip, options):
    """Leave out what classes inherit from scikit-learn, which documents it."""
    own = not str(getattr(obj, "__module__", "")).startswith("sklearn") and not re.fullmatch(r"set_\w+_request", name)
    return None if own else True


def joined_streams(outputs):
    """Join what a cell prints as it is: MyST-NB begins a new line wherever a kernel has sent a line in two parts."""
    joined = []
    for output in outputs:
        last = joined[-1] if joined else {}
        if output["output_type"] == "stream" and last.get("name") == output["name"]:
            last["text"] += output["text"]
        else:
            joined.append(output)
    return joined


render.coalesce_streams = joined_streams


def own_parameters(app, what, name, obj, options, signature, annotation):
    """Show the parameters of classes that are made by a ``__new__`` for all of them."""
    if what != "class" or not (signature or "").startswith("(*args"):
        return None
    given = inspect.signature(obj.__init__)
    parameters = [own.replace(annotation=own.empty) for own in list(given.parameters.values())[1:]]
    return str(given.replace(parameters=parameters, return_annotation=given.empty)), annotation


def setup(app):
    """Connect what stands above, and write the pages of the reference."""
    app.connect("source-read", outward_links)
    app.connect("source-read", other_pages)
    app.connect("source-read", as_notebook)  # with the links as the others have left them
    app.connect("autodoc-skip-member", only_own)
    app.connect("autodoc-process-signature", own_parameters)
    reference.write(HERE / "reference")

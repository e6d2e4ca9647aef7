"""Sphinx settings of the documentation; ``docs/_ext/harness_docs`` makes the generated pages."""

import sys
from pathlib import Path

import harness

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "emotion-harness"
author = "The emotion-harness authors"
project_copyright = "The emotion-harness authors, Apache-2.0"
version = release = harness.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "harness_docs"]
exclude_patterns = ["_build", "_ext"]
myst_enable_extensions = ["colon_fence", "deflist", "attrs_block"]
myst_heading_anchors = 3
highlight_language = "none"
# A single backtick in a docstring names a Python object; what has no page of its own stays text.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {"Path": "pathlib.Path"}
napoleon_use_ivar = True
napoleon_attr_annotations = False  # the signature has them
napoleon_custom_sections = [("Class attributes", "params_style")]
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"emotion-harness {version}"
html_copy_source = False
html_show_sphinx = False

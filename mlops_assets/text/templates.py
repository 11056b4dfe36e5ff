"""Jinja templates that lie beside the modules that fill them.

Values in a template of HTML are escaped; one of Markdown escapes text of others with the filters
`plain`, `paragraphs` and `code` of `markup`.
"""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape

from mlops_assets.text.markup import code, paragraphs, plain


@cache
def template(package: str, name: str) -> Template:
    """Return a template.

    Args:
        package: name of the package whose folder has it.
        name: name of the file: `NAME.html.j2` or `NAME.md.j2`.
    """
    environment = Environment(
        loader=PackageLoader(package, ""),
        autoescape=select_autoescape(enabled_extensions=("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    if not name.endswith("html.j2"):
        environment.filters |= {"plain": plain, "paragraphs": paragraphs, "code": code}
    return environment.get_template(name)

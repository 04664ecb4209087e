"""Pages from templates: one file that opens offline and follows the theme of the reader."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gift.report import style


def render(template: str, *, title: str, **values: Any) -> str:
    """A page; whatever is no :class:`~markupsafe.Markup` is escaped.

    Args:
        template: name of the file.
        title: of the page.
        values: what the template names.
    """
    environment = Environment(
        loader=PackageLoader("gift.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = environment.get_template("report.js").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return environment.get_template(template).render(
        title=title,
        light=style.css_variables(style.LIGHT),
        dark=style.css_variables(style.DARK),
        script=Markup(script),
        script_hash=digest,
        **values,
    )

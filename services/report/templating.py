"""Renders the report's jinja2 templates. Values are escaped unless a template says otherwise. Pure."""

from functools import cache
from typing import TYPE_CHECKING, Any

from services.report.numbers import percent, seconds, size

if TYPE_CHECKING:
    from jinja2 import Environment


def render_template(template: str, **values: Any) -> str:
    """Renders a file of templates/ with these values. Raises jinja2.UndefinedError if a value that it uses is
    missing."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined  # imported late: launchers start faster

    made = Environment(
        loader=PackageLoader("services.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(percent=percent, seconds=seconds, size=size, px="{:.1f}".format)
    return made

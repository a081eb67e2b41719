"""The report's templates, which jinja2 fills in. Every value is escaped unless a template says otherwise. Pure."""

from functools import cache
from typing import TYPE_CHECKING, Any

from services.report.numbers import percent, seconds, size

if TYPE_CHECKING:
    from jinja2 import Environment


def render_template(template: str, **values: Any) -> str:
    """The text of a file in templates/ with these values. A value that the template names and that is not there is an
    error (`jinja2.UndefinedError`)."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined  # launchers pay for it when a run ends

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

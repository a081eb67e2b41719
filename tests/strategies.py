"""Hypothesis strategies from msgspec types: any value that the type allows, with its bounds, patterns and lengths."""

from typing import Any

from hypothesis import strategies as st
from msgspec import inspect as types

TEXT = st.characters(codec="utf-8", exclude_categories=["Cs"])


def values(kind: Any, *, floats: st.SearchStrategy[float] | None = None) -> st.SearchStrategy[Any]:
    """Values of a struct type or any other that msgspec knows. ``floats`` stands for numbers without bounds."""
    return _values(types.type_info(kind), floats or st.floats(allow_nan=False, allow_infinity=False))


def _values(info: types.Type, floats: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    match info:
        case types.StructType():
            fields = {field.name: _values(field.type, floats) for field in info.fields}
            return st.builds(info.cls, **fields)
        case types.Metadata():
            return _values(info.type, floats)
        case types.StrType(pattern=str(pattern)):
            return st.from_regex(pattern.removesuffix("$") + r"\Z", alphabet=st.characters(codec="ascii"))
        case types.StrType():
            return st.text(TEXT, min_size=info.min_length or 0, max_size=min(12, info.max_length or 12))
        case types.IntType():
            low, high = info.ge, info.le
            return st.integers(-(2**63) if low is None else low, 2**63 - 1 if high is None else high)
        case types.FloatType(ge=None, gt=None, le=None, lt=None):
            return floats
        case types.FloatType():
            return st.floats(
                info.ge if info.ge is not None else info.gt, info.le if info.le is not None else info.lt,
                exclude_min=info.gt is not None, exclude_max=info.lt is not None, allow_nan=False, allow_infinity=False,
            )  # fmt: skip
        case types.BoolType():
            return st.booleans()
        case types.NoneType():
            return st.none()
        case types.LiteralType():
            return st.sampled_from(info.values)
        case types.UnionType():
            return st.one_of([_values(part, floats) for part in info.types])
        case types.DictType():
            return st.dictionaries(_values(info.key_type, floats), _values(info.value_type, floats), max_size=3)
        case types.VarTupleType():
            items = _values(info.item_type, floats)
            return st.lists(items, min_size=info.min_length or 0, max_size=min(3, info.max_length or 3)).map(tuple)
        case types.TupleType():
            return st.tuples(*(_values(item, floats) for item in info.item_types))
        case _:
            raise TypeError(f"no strategy for {info}")

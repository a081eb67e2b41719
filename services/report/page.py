"""The data that a report is rendered from. Pure."""

import msgspec

from protocols.messages import Digest, Evaluation, Fault, Role
from services.report.samples import Sample
from services.report.summary import Summary

ROLES: tuple[Role, ...] = ("critic", "actor")
FIGURES = {"critic": "Critic accuracy", "actor": "Actor success"}


class Material(msgspec.Struct, frozen=True, kw_only=True):
    """All data of a report. ``frames`` maps digests to data URIs, ``settings`` is TOML."""

    summary: Summary
    evaluations: dict[tuple[Role, int], Evaluation]
    faults: tuple[Fault, ...]
    samples: tuple[Sample, ...]
    frames: dict[Digest, str]
    settings: str

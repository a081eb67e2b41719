"""Who may do what at the hub: the keys that are let in, as their lists stand now, and what each role may ask for."""

import logging
from collections.abc import Sequence
from pathlib import Path

from protocols import commands as c
from protocols.errors import Forbidden, NotAdmitted, NotFound
from protocols.topics import OBSERVER, SERVERS, may_join
from runtime.keys import Allowed, curve_proof, parse_allowed, ticket_proof
from runtime.text import TextError, read_text

log = logging.getLogger("selu.hub")

Stamp = tuple[int, int, int]


class Access:
    """The allow-lists of a hub. With none, whoever reaches the sockets is who it says it is: for tests and for hubs
    within one process.

    A name in an earlier list is not let in by a later one. A list that goes missing, or cannot be read any more, counts
    as it was last read.
    """

    def __init__(self, lists: Sequence[Path]) -> None:
        self._lists = tuple(lists)
        self._stamps: list[Stamp | None] = []
        self._known: dict[str, Allowed] = {}
        self._names: frozenset[str] = frozenset()
        self._revoked: set[str] = set()
        self._last: dict[Path, list[Allowed]] = {}
        self._refresh()

    def revoked(self) -> frozenset[str]:
        """The proofs that since the last call have ceased to let in, or to let in as they did."""
        self._refresh()
        revoked, self._revoked = frozenset(self._revoked), set()
        return revoked

    def lets_in(self, proof: str) -> bool:
        """Whether a list names this proof."""
        return self._entry(proof) is not None

    def _entry(self, proof: str) -> Allowed | None:
        if proof not in self._known:
            self._refresh()  # it may have been made a moment ago
        return self._known.get(proof)

    def _refresh(self) -> None:
        """Reads the lists again where they have changed."""
        stamps = [_stamp(file) for file in self._lists]
        if stamps == self._stamps:
            return
        self._stamps = stamps
        known: dict[str, Allowed] = {}
        names: set[str] = set()
        for file in self._lists:
            found = _read(file)
            if found is None:  # something removed it, and revoked nobody: a revocation writes the list anew
                found = self._last.get(file, [])
            self._last[file] = found
            entries = [entry for entry in found if entry.name not in names]
            known.update({entry.proof: entry for entry in entries})
            names.update(entry.name for entry in entries)
        before, self._known, self._names = self._known, known, frozenset(names)
        self._revoked |= {proof for proof, entry in before.items() if known.get(proof) != entry}

    def admit(self, hello: c.Hello, public: str | None) -> str:
        """Lets a session in and returns its proof; empty for one that needed none.

        `public` is the key under which the connection was made, ``None`` on a socket without CURVE.

        Raises:
            NotAdmitted: the key is not known, or not for this role and name.
        """
        if not self._lists:
            return ""
        if public is None and not hello.ticket:
            if hello.role != OBSERVER:
                raise NotAdmitted(f"only an observer needs no key: make one with `selu keys make` for {hello.role}")
            if _owner(hello.instance) in self._names:
                raise NotAdmitted(f"{hello.instance} is the name of a key: choose another")
            return ""
        proof = ticket_proof(hello.ticket) if public is None else curve_proof(public)
        found = self._entry(proof)
        if found is None:
            raise NotAdmitted(f"the key of {hello.instance} is not known here, or was revoked")
        if (found.role, found.name) != (hello.role, _owner(hello.instance)):
            raise NotAdmitted(
                f"the key is {found.name}'s, for the role {found.role}; {hello.instance} says it is {hello.role}"
            )
        return proof


def permit(role: str, command: c.Command) -> None:
    """Whether a role may ask for this at all; what topics it reads and writes is looked at with each message.

    Raises:
        Forbidden: it may not.
        NotFound: there is no such call.
    """
    match command:
        case c.Serve():
            if command.method not in SERVERS:
                raise NotFound(f"unknown call {command.method!r}; the calls are {', '.join(SERVERS)}")
            if SERVERS[command.method] != role:
                raise Forbidden(f"{role} may not serve {command.method!r}: that is for {SERVERS[command.method]}")
        case c.Call() | c.PutBlob():
            if role == OBSERVER:
                raise Forbidden(f"{role} only reads: it may neither call nor store blobs")
        case c.Pull() | c.Acknowledge() | c.Release():
            if not may_join(role, command.group):
                raise Forbidden(f"{role} may not join the group {command.group!r}: it is of {_owner(command.group)}")
        case _:
            pass


def _owner(name: str) -> str:
    return name.partition("/")[0]


def _stamp(file: Path) -> Stamp | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(file: Path) -> list[Allowed] | None:
    """The entries of a list; None where it cannot be read."""
    try:
        entries, broken = parse_allowed(read_text(file))
    except (OSError, TextError) as error:
        log.error("%s cannot be read, and lets in whom it let in before: %s", file, error)
        return None
    for number in broken:
        log.error("%s, line %d lets nobody in: it is not name, role and proof", file, number)
    return entries

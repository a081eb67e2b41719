"""Access control of the hub: the admitted keys, read from their lists, and the commands that each role may send."""

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
    """The allow-lists of a hub. Without any, every client is trusted with the role and name it gives: for tests and
    for hubs within one process.

    A name in an earlier list hides the same name in a later list. If a list vanishes or becomes unreadable, its last
    readable content stays in force.
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
        """Returns the proofs of keys that were revoked or changed since the last call."""
        self._refresh()
        revoked, self._revoked = frozenset(self._revoked), set()
        return revoked

    def lets_in(self, proof: str) -> bool:
        """Returns whether a list contains this proof."""
        return self._entry(proof) is not None

    def _entry(self, proof: str) -> Allowed | None:
        if proof not in self._known:
            self._refresh()  # the key may be new
        return self._known.get(proof)

    def _refresh(self) -> None:
        """Reads the lists again if any has changed."""
        stamps = [_stamp(file) for file in self._lists]
        if stamps == self._stamps:
            return
        self._stamps = stamps
        known: dict[str, Allowed] = {}
        names: set[str] = set()
        for file in self._lists:
            found = _read(file)
            if found is None:  # a missing list revokes no key; a revocation rewrites it
                found = self._last.get(file, [])
            self._last[file] = found
            entries = [entry for entry in found if entry.name not in names]
            known.update({entry.proof: entry for entry in entries})
            names.update(entry.name for entry in entries)
        before, self._known, self._names = self._known, known, frozenset(names)
        self._revoked |= {proof for proof, entry in before.items() if known.get(proof) != entry}

    def admit(self, hello: c.Hello, public: str | None) -> str:
        """Checks a hello and returns the proof of its key; empty if it needed none.

        `public` is the CURVE public key of the connection, ``None`` on a socket without CURVE.

        Raises:
            NotAdmitted: the key is unknown or missing, or is for another role or name.
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
    """Checks that a role may send this command. Access to topics is checked separately, with each message.

    Raises:
        Forbidden: the role may not send it.
        NotFound: the method to serve is not declared.
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
    """Returns the entries of a list, or None if it cannot be read."""
    try:
        entries, broken = parse_allowed(read_text(file))
    except (OSError, TextError) as error:
        log.error("%s cannot be read, and lets in whom it let in before: %s", file, error)
        return None
    for number in broken:
        log.error("%s, line %d lets nobody in: it is not name, role and proof", file, number)
    return entries

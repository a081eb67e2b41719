"""Keys as files: who may join a mesh, and as what.

<keys>/             mode 0700
<keys>/allowed      the keys that are let in, a line each: name, role, proof. Holds nothing secret
<keys>/hub.key      the hub's own key; only where a network is listened to
<keys>/<name>.key   a key, to be given to its holder; mode 0600

A key for a network is a CURVE pair, and its proof the public half. One for a run's own sockets is a ticket, a random
text that is shown with the hello; its proof is the ticket's sha256.
"""

import hashlib
import os
import re
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import zmq

from protocols.topics import ROLES
from runtime.atomic import replace_file
from runtime.locks import lock
from runtime.paths import given_path
from runtime.settings import dump
from runtime.text import TextError, decode_text, parse_toml, read_text

HUB = "hub"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""A key's name. It has no slash: what follows one in an instance's name is the holder's choice."""

_PROOF = re.compile(r"curve:[!-~]{40}|sha256:[0-9a-f]{64}")


class KeysError(Exception):
    """A key or a keys folder that cannot be used. The text says which, why, and what to do."""


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, repr_omit_defaults=True):
    """A holder's proof. ``public`` and ``secret`` are its CURVE pair in Z85 and ``hub`` the hub's public key, or there
    is a ``ticket`` instead."""

    name: str
    role: str
    hub: str = ""
    public: str = ""
    secret: str = ""
    ticket: str = ""

    def __repr__(self) -> str:
        return f"Key(name={self.name!r}, role={self.role!r})"

    @property
    def proof(self) -> str:
        return curve_proof(self.public) if self.public else ticket_proof(self.ticket)


class Allowed(msgspec.Struct, frozen=True):
    """Who is let in by a proof."""

    name: str
    role: str
    proof: str


def curve_proof(public: str) -> str:
    return f"curve:{public}"


def ticket_proof(ticket: str) -> str:
    return f"sha256:{hashlib.sha256(ticket.encode()).hexdigest()}"


def parse_allowed(text: str) -> tuple[list[Allowed], list[int]]:
    """The entries of an allow-list, and the numbers of the lines that are none: those let nobody in."""
    entries: list[Allowed] = []
    broken: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) == 3 and NAME.fullmatch(words[0]) and words[1] in ROLES and _PROOF.fullmatch(words[2]):
            entries.append(Allowed(*words))
        else:
            broken.append(number)
    return entries, broken


def read_key(file: Path) -> Key:
    """A key from its file.

    Raises:
        KeysError: there is none, others may read it, or it is no key.
    """
    try:
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):  # a pipe: process substitution of a shell
                raise KeysError(f"{file} is no file with a key: make one with `selu keys make`")
            if mode & 0o077:
                raise KeysError(f"{file} can be read by others (mode {stat.S_IMODE(mode):04o}): chmod 600 {file}")
            text = decode_text(opened.read(), str(file))
        return msgspec.convert(parse_toml(text, str(file), secret=True), type=Key)
    except OSError as error:
        raise KeysError(f"cannot read the key {file}: {error.strerror or error}") from error
    except TextError as error:
        raise KeysError(f"{error}; or make a key with `selu keys make`") from error
    except msgspec.ValidationError as error:
        raise KeysError(f"{file} is no key ({error}): make one with `selu keys make`") from error


class KeysFolder:
    """A folder of keys. Every change is whole or not at all, and safe beside others."""

    def __init__(self, path: Path) -> None:
        self.path = given_path(path)
        self.allowed_file = self.path / "allowed"
        self.hub_file = self.path / f"{HUB}.key"

    def create(self) -> None:
        """Makes the folder with a key for the hub, where they are missing.

        Raises:
            KeysError: it cannot be made, or others may look into it.
        """
        try:
            self.path.mkdir(parents=True, mode=0o700, exist_ok=True)
        except FileExistsError:
            raise KeysError(f"{self.path} is a file: give the folder of the keys") from None
        except OSError as error:
            raise KeysError(f"cannot make {self.path}: {error.strerror or error}") from error
        self.check()
        with self._locked():
            if self.hub_file.exists() and not self.allowed_file.exists():
                raise KeysError(
                    f"the list {self.allowed_file} is missing: put it back from a copy, or make an empty file of that "
                    "name, which lets none of the keys in that were made before"
                )
            if not self.hub_file.exists():
                self._write_allowed([])
                self._write_key(_pair(HUB, "", hub=""))

    def check(self) -> None:
        """Raises `KeysError` where the folder is missing or others may look into it."""
        try:
            found = self.path.stat()
        except OSError as error:
            raise KeysError(f"no keys in {self.path} ({error.strerror}): make one with `selu keys make`") from None
        if found.st_uid not in (0, os.getuid()) or found.st_mode & 0o077:
            raise KeysError(f"{self.path} is open to others: keys belong into a folder of mode 0700 that is yours")

    def hub_key(self) -> Key:
        """The hub's own. Raises `KeysError`."""
        self.check()
        return read_key(self.hub_file)

    def file_of(self, name: str) -> Path:
        return self.path / f"{name}.key"

    def make(self, name: str, role: str, *, hub: str = "") -> Path:
        """Makes a key, lets it in from now on, and returns its file. With the hub's public key it is a CURVE pair.

        Raises:
            KeysError: the name is taken or not allowed, or there is no such role.
        """
        if not NAME.fullmatch(name) or name == HUB:
            raise KeysError(f"no key can be named {name!r}: letters, digits, '.', '_' and '-', at most 64, and not hub")
        if role not in ROLES:
            raise KeysError(f"no role {role!r}: a key is for one of {', '.join(ROLES)}")
        with self._locked():
            entries = self.allowed()
            if any(entry.name == name for entry in entries):
                raise KeysError(f"there is a key {name!r} already: revoke it first, or take another name")
            key = _pair(name, role, hub=hub) if hub else Key(name=name, role=role, ticket=secrets.token_urlsafe(32))
            self._write_key(key)
            self._write_allowed([*entries, Allowed(name, role, key.proof)])
        return self.file_of(name)

    def allowed(self) -> list[Allowed]:
        """The keys that are let in. Raises `KeysError` where a line is none, naming it."""
        try:
            entries, broken = parse_allowed(read_text(self.allowed_file))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise KeysError(f"cannot read {self.allowed_file}: {error.strerror or error}") from error
        except TextError as error:
            raise KeysError(str(error)) from error
        if broken:
            raise KeysError(f"{self.allowed_file}, line {broken[0]}: not a key's line (name, role, proof): mend it")
        return entries

    def revoke(self, name: str) -> None:
        """Lets a key in no more, and deletes its file where it still is. Raises `KeysError` where there is none."""
        with self._locked():
            entries = self.allowed()
            left = [entry for entry in entries if entry.name != name]
            if len(left) == len(entries):
                known = ", ".join(entry.name for entry in entries) or "none"
                raise KeysError(f"no key {name!r} in {self.path}; there are {known}")
            self._write_allowed(left)
            self.file_of(name).unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Generator[None]:
        try:
            with (self.path / ".lock").open("ab") as file:
                lock(file.fileno(), "exclusive")
                yield
        except OSError as error:
            raise KeysError(f"cannot write in {self.path}: {error.strerror or error}") from error

    def _write_key(self, key: Key) -> None:
        said = "The hub's own key." if key.name == HUB else f"Lets its holder in as {key.name} ({key.role})."
        self._write(self.file_of(key.name), dump(key, f"{said} Keep it secret.").encode())

    def _write_allowed(self, entries: list[Allowed]) -> None:
        lines = [f"{entry.name} {entry.role} {entry.proof}" for entry in entries]
        self._write(self.allowed_file, "\n".join(["# name role proof", *lines, ""]).encode())

    def restore(self, name: str, data: bytes) -> None:
        """Writes a file of this folder again as it was. Raises `OSError`."""
        self._write(self.path / name, data)

    def _write(self, file: Path, data: bytes) -> None:
        replace_file(file, data, mode=0o600)


def _pair(name: str, role: str, *, hub: str) -> Key:
    public, secret = zmq.curve_keypair()
    return Key(name=name, role=role, hub=hub, public=public.decode(), secret=secret.decode())

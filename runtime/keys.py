"""Key files: which processes may connect to a hub, and in which role.

<keys>/             mode 0700
<keys>/allowed      the admitted keys, one per line: name, role, proof. Contains no secrets
<keys>/hub.key      the hub's own key; only needed if the hub listens on a network
<keys>/<name>.key   a key for its holder; mode 0600

A key for a network is a CURVE pair, and its proof is the public key. A key for a run's own sockets is a ticket, a
random text that the client sends with its hello; its proof is the sha256 of the ticket.
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
"""A key's name. It has no slash, because the holder may append a slash and any suffix to its instance name."""

_PROOF = re.compile(r"curve:[!-~]{40}|sha256:[0-9a-f]{64}")


class KeysError(Exception):
    """A key or a keys folder cannot be used. The text names it, the reason and the remedy."""


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, repr_omit_defaults=True):
    """A client's key. It has a CURVE pair in Z85 (``public``, ``secret``) and the hub's public key (``hub``), or
    instead a ``ticket``."""

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
        """The public identification of this key, as in an allow-list."""
        return curve_proof(self.public) if self.public else ticket_proof(self.ticket)


class Allowed(msgspec.Struct, frozen=True):
    """An entry of an allow-list: the name and role that a proof admits."""

    name: str
    role: str
    proof: str


def curve_proof(public: str) -> str:
    """Returns the proof of a CURVE public key (Z85)."""
    return f"curve:{public}"


def ticket_proof(ticket: str) -> str:
    """Returns the proof of a ticket."""
    return f"sha256:{hashlib.sha256(ticket.encode()).hexdigest()}"


def parse_allowed(text: str) -> tuple[list[Allowed], list[int]]:
    """Returns the entries of an allow-list, and the numbers of invalid lines, which admit no key."""
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
    """Reads a key from its file.

    Raises:
        KeysError: the file is missing, other users may read it, or it is not a key.
    """
    try:
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):  # FIFO: a shell's process substitution
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
    """A folder of keys. Every change is atomic and safe for concurrent processes."""

    def __init__(self, path: Path) -> None:
        self.path = given_path(path)
        self.allowed_file = self.path / "allowed"
        self.hub_file = self.path / f"{HUB}.key"

    def create(self) -> None:
        """Creates the folder and the hub's key if they are missing.

        Raises:
            KeysError: the folder cannot be created, other users can access it, or its allow-list is missing.
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
        """Raises `KeysError` if the folder is missing or other users can access it."""
        try:
            found = self.path.stat()
        except OSError as error:
            raise KeysError(f"no keys in {self.path} ({error.strerror}): make one with `selu keys make`") from None
        if found.st_uid not in (0, os.getuid()) or found.st_mode & 0o077:
            raise KeysError(f"{self.path} is open to others: keys belong into a folder of mode 0700 that is yours")

    def hub_key(self) -> Key:
        """Returns the hub's own key. Raises `KeysError`."""
        self.check()
        return read_key(self.hub_file)

    def file_of(self, name: str) -> Path:
        """Returns the path of the key file with this name."""
        return self.path / f"{name}.key"

    def make(self, name: str, role: str, *, hub: str = "") -> Path:
        """Makes a key, adds it to the allow-list, and returns its file.

        With the hub's public key as `hub` the key is a CURVE pair, else a ticket.

        Raises:
            KeysError: the name is taken or invalid, or there is no such role.
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
        """Returns the entries of the allow-list. Raises `KeysError` for the first invalid line."""
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
        """Removes a key from the allow-list and deletes its file if present. Raises `KeysError` for an unknown name."""
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
        """Restores a file of this folder with the given content. Raises `OSError`."""
        self._write(self.path / name, data)

    def _write(self, file: Path, data: bytes) -> None:
        replace_file(file, data, mode=0o600)


def _pair(name: str, role: str, *, hub: str) -> Key:
    public, secret = zmq.curve_keypair()
    return Key(name=name, role=role, hub=hub, public=public.decode(), secret=secret.decode())

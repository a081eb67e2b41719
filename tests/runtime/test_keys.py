"""Keys as files: made, listed, revoked, and closed to others."""

import os
import stat
from pathlib import Path

import pytest

from protocols.commands import Hello
from protocols.errors import NotAdmitted
from runtime.access import Access
from runtime.keys import KeysError, KeysFolder, parse_allowed, read_key
from runtime.zap import judge


@pytest.fixture
def keys(tmp_path: Path) -> KeysFolder:
    folder = KeysFolder(tmp_path / "a" / "keys")
    folder.create()
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_key_is_its_holders_alone_and_names_the_hub_it_is_for(keys: KeysFolder) -> None:
    file = keys.make("anna", "critic", hub=keys.hub_key().public)
    assert mode(keys.path) == 0o700 and {mode(path) for path in keys.path.glob("*.key")} == {0o600}
    key = read_key(file)
    assert (key.name, key.role, key.hub) == ("anna", "critic", keys.hub_key().public)
    assert key.secret not in repr(key) and key.secret not in keys.allowed_file.read_text()
    assert [(entry.name, entry.role, entry.proof) for entry in keys.allowed()] == [("anna", "critic", key.proof)]


def test_a_revoked_key_is_listed_no_more_and_its_file_is_gone(keys: KeysFolder) -> None:
    for name in ("anna", "ben"):
        file = keys.make(name, "observer", hub="x" * 40)
    keys.revoke("ben")
    assert [entry.name for entry in keys.allowed()] == ["anna"] and not file.exists()
    with pytest.raises(KeysError, match=r"no key 'ben'.*there are anna"):
        keys.revoke("ben")
    assert keys.make("ben", "observer", hub="x" * 40).exists()


@pytest.mark.parametrize("name", ["", "../evil", "a/b", "hub", ".hidden", "a b", "x" * 65, "a\n"])
def test_a_name_that_is_no_plain_word_makes_no_key(keys: KeysFolder, name: str) -> None:
    with pytest.raises(KeysError, match="no key can be named"):
        keys.make(name, "observer")
    assert [path.name for path in keys.path.glob("*.key")] == ["hub.key"]


def test_a_name_is_given_once_and_a_role_must_be_one(keys: KeysFolder) -> None:
    keys.make("anna", "observer")
    with pytest.raises(KeysError, match="already"):
        keys.make("anna", "critic")
    with pytest.raises(KeysError, match=r"no role 'king': a key is for one of .*critic"):
        keys.make("ben", "king")


def test_keys_that_others_may_read_are_not_used(keys: KeysFolder) -> None:
    file = keys.make("anna", "observer")
    file.chmod(0o640)
    with pytest.raises(KeysError, match=f"mode 0640.*chmod 600 {file}"):
        read_key(file)
    keys.path.chmod(0o755)
    with pytest.raises(KeysError, match="open to others"):
        keys.hub_key()


def test_what_is_no_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.key").write_text("name = 1")
    os.chmod(tmp_path / "x.key", 0o600)  # noqa: PTH101
    for path, said in ((tmp_path / "x.key", "is no key"), (tmp_path / "none", "cannot read the key")):
        with pytest.raises(KeysError, match=said):
            read_key(path)


def test_a_line_that_cannot_be_read_lets_nobody_in_and_the_others_stand() -> None:
    good = f"anna critic sha256:{'0' * 64}"
    entries, broken = parse_allowed(
        f"# comment\n\n{good}\nben critic\nhub! critic sha256:00\nx king sha256:{'0' * 64}\n"
    )
    assert ([entry.name for entry in entries], broken) == (["anna"], [4, 5, 6])


# -- who is let in


def hello(role: str, instance: str, ticket: str = "") -> Hello:
    return Hello(role=role, instance=instance, ticket=ticket)


def test_a_ticket_is_for_its_own_role_and_name(keys: KeysFolder) -> None:
    ticket = read_key(keys.make("critic-0", "critic")).ticket
    access = Access([keys.allowed_file])
    for name in ("critic-0", "critic-0/a"):
        assert access.admit(hello("critic", name, ticket), None)
    for claim in (
        hello("trainer", "critic-0", ticket),
        hello("critic", "critic-1", ticket),
        hello("critic", "critic-00", ticket),
        hello("evaluator", "evaluator-0", ticket),
        hello("critic", "critic-0", ticket[:-1]),
        hello("critic", "critic-0"),
        hello("observer", "critic-0"),  # would put the critic out
        hello("observer", "critic-0/x"),
    ):
        with pytest.raises(NotAdmitted):
            access.admit(claim, None)


def test_without_a_key_one_only_looks_on_and_not_at_all_where_keys_are_asked_for(keys: KeysFolder) -> None:
    access = Access([keys.allowed_file])
    assert access.admit(hello("observer", "me"), None) == ""
    for public in ("", "x" * 40):
        with pytest.raises(NotAdmitted, match="not known"):
            access.admit(hello("observer", "me"), public)


def test_a_ticket_is_worth_nothing_on_a_connection_with_a_key(keys: KeysFolder) -> None:
    ticket = read_key(keys.make("trainer-0", "trainer")).ticket
    anna = read_key(keys.make("anna", "observer", hub="x" * 40))
    access = Access([keys.allowed_file])
    assert access.admit(hello("observer", "anna"), anna.public) == anna.proof
    with pytest.raises(NotAdmitted):
        access.admit(hello("trainer", "trainer-0", ticket), anna.public)


def test_a_later_list_cannot_take_a_name_of_an_earlier_one(keys: KeysFolder, tmp_path: Path) -> None:
    keys.make("critic-0", "critic")
    other = KeysFolder(tmp_path / "other")
    other.create()
    thief = read_key(other.make("critic-0", "critic")).ticket
    with pytest.raises(NotAdmitted):
        Access([keys.allowed_file, other.allowed_file]).admit(hello("critic", "critic-0", thief), None)


def test_a_list_is_read_again_when_it_changes_and_says_who_was_put_out(keys: KeysFolder) -> None:
    access = Access([keys.allowed_file])
    key = read_key(keys.make("anna", "observer"))
    assert access.admit(hello("observer", "anna", key.ticket), None) == key.proof
    assert access.revoked() == frozenset()
    keys.revoke("anna")
    assert access.revoked() == {key.proof}
    assert not access.lets_in(key.proof)
    keys.allowed_file.write_text(f"anna critic {key.proof}\n")
    assert access.lets_in(key.proof)
    keys.allowed_file.write_text("# nobody\n")
    assert access.revoked() == {key.proof}


def test_a_list_that_something_removed_or_spoilt_revokes_nobody(keys: KeysFolder) -> None:
    key = read_key(keys.make("anna", "observer"))
    access = Access([keys.allowed_file])
    for spoil in (keys.allowed_file.unlink, lambda: keys.allowed_file.write_bytes("# nobody\n".encode("utf-16"))):
        spoil()
        assert access.revoked() == frozenset() and access.lets_in(key.proof)
        assert access.admit(hello("observer", "anna", key.ticket), None) == key.proof
    keys.allowed_file.write_text("# nobody\n")
    assert access.revoked() == {key.proof} and not access.lets_in(key.proof)


def test_a_list_that_is_lost_is_not_begun_anew_over_keys_that_were_given_away(keys: KeysFolder) -> None:
    keys.make("anna", "observer")
    keys.allowed_file.unlink()
    with pytest.raises(KeysError, match="allowed is missing: put it back"):
        keys.create()


# -- what ZeroMQ is told


def test_zeromq_is_told_yes_for_listed_keys_and_no_for_all_else(keys: KeysFolder) -> None:
    from zmq.utils import z85

    key = read_key(keys.make("anna", "observer", hub="x" * 40))
    access, public = Access([keys.allowed_file]), z85.decode(key.public.encode())

    def asked(*frames: bytes) -> tuple[bytes, bytes]:
        answer = judge(frames, access)
        assert len(answer) == 6 and answer[0] == b"1.0"
        return answer[2], answer[4]

    head = (b"1.0", b"7", b"selu", b"127.0.0.1", b"")
    assert asked(*head, b"CURVE", public) == (b"200", key.public.encode())
    assert asked(*head, b"CURVE", b"\0" * 32) == (b"400", b"")
    assert asked(*head, b"CURVE", public[:-1]) == (b"500", b"")
    assert asked(*head, b"NULL") == (b"500", b"")
    assert asked(*head, b"PLAIN", b"anna", b"secret") == (b"500", b"")
    assert asked(b"1.0", b"7", b"other", b"", b"", b"CURVE", public) == (b"500", b"")
    assert asked() == (b"500", b"")


def test_a_key_comes_through_a_pipe_and_from_no_device(keys: KeysFolder) -> None:
    made = keys.make("anna", "critic", hub="x" * 40)
    reading, writing = os.pipe()
    os.fchmod(reading, 0o600)
    os.write(writing, made.read_bytes())
    os.close(writing)
    assert read_key(Path(f"/dev/fd/{reading}")).name == "anna"
    os.close(reading)
    with pytest.raises(KeysError, match="/dev/null is no file with a key") as error:
        read_key(Path("/dev/null"))
    assert "chmod" not in str(error.value)

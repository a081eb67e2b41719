"""Files that people wrote are read from any editor, or refused with the place and what to do."""

import codecs
import os
from pathlib import Path

import pytest

from runtime.keys import KeysError, KeysFolder, read_key
from runtime.settings import SettingsError, load
from runtime.text import TextError, is_utf8, read_text, read_toml
from runtime.web import read_token
from services.models.engine import EngineError
from services.models.folder import model_folder
from services.settings import Model, Settings
from services.worlds.options import WrittenTask, read_task_file
from services.worlds.virtualhome.graph import GraphError, read_graph

PROFILE = '[run]\nrounds = 1\n\n[model]\nengine = "scripted"\n'
TASKS = '[[task]]\nverb = "open"\nobject = "fridge"\n'


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8], ids=["no mark", "mark"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["unix", "windows", "old mac"])
def test_marks_and_line_ends_of_any_editor_are_read(tmp_path: Path, mark: bytes, end: str) -> None:
    file = tmp_path / "file.toml"
    file.write_bytes(mark + PROFILE.replace("\n", end).encode())
    assert load(Settings, file=file).run.rounds == 1
    file.write_bytes(mark + TASKS.replace("\n", end).encode())
    assert read_task_file(str(file), WrittenTask, ["open"])[0].object == "fridge"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_unicode_encodings_are_refused_by_name(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(PROFILE.encode(encoding))
    name = encoding.removesuffix("-le").removesuffix("-be").upper()
    with pytest.raises(SettingsError, match=rf"mine\.toml is in {name}: save it as UTF-8"):
        load(Settings, file=file)


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    for mark in (b"", codecs.BOM_UTF8):
        file.write_bytes(mark + "a = 1\r\nb = 'für'\r\n".encode("latin-1"))
        with pytest.raises(TextError, match=r"mine\.toml, line 2: byte 0xfc is not UTF-8 .*Latin-1.*save it as UTF-8"):
            read_text(file)
    file.write_bytes(b"a = 1\nb = \0\n")
    with pytest.raises(TextError, match="line 2 has a zero byte"):
        read_text(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = 1\nb = /models/x\n", r"line 2, column 5: not TOML: Invalid value \(text needs quotes\): b = /models/x"),
        ('a = "C:\\models"\n', r"line 1, column \d+: not TOML: .*single quotes"),
        ("a = [\n1,\n", "line 2: not TOML: "),
        ("a = 1\na = 2\n", "line 2, column 6: not TOML: Cannot overwrite a value"),
        ("a = " + "[" * 20000, "nested too deeply"),
    ],
)
def test_what_is_not_toml_is_refused_with_line_and_reason(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(TextError, match=said) as error:
        read_toml(file)
    assert str(error.value).startswith(str(file))


def test_a_name_in_other_bytes_is_not_utf_8() -> None:
    assert is_utf8("") and is_utf8("küche \U0001f600 \0")
    assert not is_utf8(os.fsdecode(b"k\xfcche"))


def test_key_files_and_allow_lists_are_read_from_any_editor_and_no_secret_is_shown(tmp_path: Path) -> None:
    keys = KeysFolder(tmp_path / "keys")
    keys.create()
    file = keys.make("anna", "observer")
    whole = file.read_bytes()
    file.write_bytes(codecs.BOM_UTF8 + whole.replace(b"\n", b"\r\n"))
    assert read_key(file).name == "anna"
    keys.allowed_file.write_bytes(codecs.BOM_UTF8 + keys.allowed_file.read_bytes().replace(b"\n", b"\r\n"))
    assert [entry.name for entry in keys.allowed()] == ["anna"]
    file.write_bytes(whole.replace(b'ticket = "', b"ticket = "))
    with pytest.raises(KeysError, match="not TOML") as error:
        read_key(file)
    assert read_key.__name__ and whole.partition(b'ticket = "')[2][:12].decode() not in str(error.value)
    keys.allowed_file.write_bytes("# name role proof\n".encode("utf-16"))
    with pytest.raises(KeysError, match="allowed is in UTF-16"):
        keys.allowed()


def test_token_files_are_read_with_a_mark_and_refused_in_utf_16(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_bytes(codecs.BOM_UTF8 + b"0123456789abcdef\r\n")
    assert read_token("127.0.0.1", str(file)) == "0123456789abcdef"
    file.write_bytes("0123456789abcdef".encode("utf-16"))
    with pytest.raises(SettingsError, match="token is in UTF-16"):
        read_token("127.0.0.1", str(file))


def test_scene_graphs_are_read_with_a_mark_and_refused_in_utf_16(tmp_path: Path) -> None:
    graph = '{"nodes": [{"id": 1, "class_name": "kitchen", "category": "Rooms"}], "edges": []}'
    file = tmp_path / "graph.json"
    file.write_bytes(codecs.BOM_UTF8 + graph.encode())
    assert len(read_graph(file)[1].rooms) == 1
    file.write_bytes(graph.encode("utf-16"))
    with pytest.raises(GraphError, match=r"graph\.json is in UTF-16"):
        read_graph(file)


def test_a_model_configuration_that_other_readers_cannot_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    config = tmp_path / "config.json"
    for data, said in (
        (codecs.BOM_UTF8 + b"{}", "begins with a byte order mark"),
        ("{}".encode("utf-16"), "is in UTF-16"),
        (b"{", "is not JSON .*line 1 column 2"),
        (b"[" * 20000, "is not JSON"),
    ):
        config.write_bytes(data)
        with pytest.raises(EngineError, match=said):
            model_folder(Model(path=str(tmp_path)))

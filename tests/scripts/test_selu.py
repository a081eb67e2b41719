"""The `selu` command: quick to answer, clear about what is wrong, and light until something runs."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from protocols.errors import NotAdmitted, Replaced, Unavailable
from runtime.runfolder import RunFolder
from runtime.settings import dump, load
from scripts.selu import COMMANDS, main
from services.settings import Settings

HEAVY = ("zmq", "anyio", "rich", "numpy", "PIL", "torch", "vllm", "transformers", "msgspec", "psutil")


def selu(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom scripts.selu import main\n"
        f"try: main({[*arguments, '--help']!r})\nexcept SystemExit as end: assert end.code == 0\n"
        f"print('heavy:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True).stdout
    assert said.endswith("heavy: []\n") and "exit codes" in said


def test_every_command_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert all(name in said for name in COMMANDS)


@pytest.mark.parametrize("profile", ["household", "scripted"])
def test_a_dry_run_prints_settings_that_read_back_and_makes_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str
) -> None:
    monkeypatch.setattr("scripts.launch.preflight._model", lambda settings: iter(()))
    code, out, _ = selu(capsys, "up", "--profile", profile, "--run", tmp_path / "r", "--rounds", "3", "--dry-run")
    assert code == 0 and not (tmp_path / "r").exists()
    (tmp_path / "printed.toml").write_text(out)
    assert load(Settings, file=tmp_path / "printed.toml").run.rounds == 3
    assert "\n# Trajectories of a round, of all simulator processes together. Takes an integer" in out
    assert all(name in out for name in ("hub", "simulator-0", "actor-0", "critic-0", "trainer-0", "evaluator-0"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--profile", "househol"], "no profile 'househol': give one of "),
        (["--set", "simulator.quotta=3"], "did you mean quota?"),
        (["--rounds", "-1"], "run.rounds = -1 is not allowed; it takes an integer from 0 to 900"),
        (["--set", "model.engine=vllm", "--set", "model.path=/nowhere/model"], "no model folder at /nowhere/model"),
        (["--set", "model.engine=vllm", "--set", "model.max_model_len=4096"], "takes 2048 tokens at most: set"),
        (["--set", "world.seeds.dev=499999980", "--set", "evaluator.split=dev"], "world.seeds: the 40 seeds of 'dev'"),
        (["--set", "world.options.colour=red"], "the household has no option 'colour': its options are"),
        (["--set", "model.engine=openai"], "model.url is empty"),
        (["--set", "mesh.endpoint=tcp://0.0.0.0:5555"], "mesh.endpoint 'tcp://0.0.0.0:5555' is not allowed"),
        (["--set", "mesh.endpoint=tcp://0.0.0.0:5555", "--set", "mesh.keys=/nowhere"], "no keys in /nowhere"),
        (["--set", "mesh.keys=/nowhere"], "mesh.keys is for a tcp endpoint"),
        (["--set", "model.engine=openai", "--set", "model.url=http://gpu1:8000"], "lacks https and a key"),
        (["--set", "mesh.session_seconds=0.5"], "less than twice mesh.heartbeat_seconds (0.5)"),
        (["--resume", "/nowhere/run"], "/nowhere/run does not exist"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    profile = [] if {"--profile", "--resume"} & set(arguments) else ["--profile", "scripted"]
    code, _, err = selu(capsys, "up", *profile, *arguments)
    assert code == 2 and said in err
    assert list(tmp_path.iterdir()) == []


def test_a_profile_may_be_a_file_and_its_errors_name_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[critic]\nself_ask = 'always'\n")
    code, _, err = selu(capsys, "up", "--profile", tmp_path / "mine.toml", "--dry-run")
    assert code == 2 and "mine.toml: critic.self_ask" in err and '"off", "paper", "confirm"' in err


def test_a_port_in_use_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        arguments = (
            "--profile",
            "scripted",
            "--run",
            tmp_path / "r",
            "--set",
            f"mesh.endpoint={endpoint}",
            "--dry-run",
        )
        code, _, err = selu(capsys, "up", *arguments)
    assert code == 2 and f"cannot listen at {endpoint} (Address already in use)" in err


def test_keys_are_made_listed_and_revoked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    keys = ("--keys", tmp_path / "keys")
    code, file, _ = selu(capsys, "keys", "make", "anna", *keys)
    assert code == 0 and Path(file.strip()).stat().st_mode & 0o777 == 0o600
    code, listed, _ = selu(capsys, "keys", "list", *keys)
    assert code == 0 and listed.startswith("anna  observer  curve:") and listed.count("\n") == 1
    assert selu(capsys, "keys", "revoke", "anna", *keys)[0] == 0
    assert selu(capsys, "keys", "list", *keys) == (0, "", "")
    for wrong, said in (
        (("revoke", "anna", *keys), "no key 'anna'"),
        (("make", "ben", "--role", "king", *keys), "no role 'king'"),
        (("make", "../ben", *keys), "no key can be named"),
        (("list", "--keys", tmp_path / "none"), "no keys in"),
        (("list", "--run", tmp_path), "not a run folder"),
    ):
        code, _, err = selu(capsys, "keys", *wrong)
        assert code == 2 and said in err


def test_a_key_with_the_name_of_a_process_of_the_run_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    assert selu(capsys, "keys", "make", "critic-0", "--role", "critic", "--keys", keys)[0] == 0
    settings = ("--set", "mesh.endpoint=tcp://127.0.0.1:5555", "--set", f"mesh.keys={keys}")
    code, _, err = selu(capsys, "up", "--profile", "scripted", "--run", tmp_path / "r", *settings, "--dry-run")
    assert code == 2 and "'critic-0'" in err and "revoke it" in err


def test_joining_needs_a_key_for_a_service(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _, file, _ = selu(capsys, "keys", "make", "anna", "--keys", tmp_path / "keys")
    join = ("join", "--connect", "tcp://127.0.0.1:1", "--settings", tmp_path / "none.toml", "--key")
    code, _, err = selu(capsys, *join, file.strip())
    assert code == 2 and "only reads along: use `selu attach TOPIC --connect tcp://127.0.0.1:1" in err
    code, _, err = selu(capsys, *join, tmp_path / "none.key")
    assert code == 2 and "cannot read the key" in err


def test_a_folder_in_use_or_of_another_version_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "r")
    code, _, err = selu(capsys, "up", "--profile", "scripted", "--run", run.path)
    assert code == 2 and f"--resume {run.path}" in err
    run.format_file.write_text("selu run folder, format 7\n")
    code, _, err = selu(capsys, "up", "--resume", run.path)
    assert code == 2 and "another version" in err


def test_a_resumed_run_keeps_what_must_stay(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "r")
    run.write_settings(dump(load(Settings, overrides=["model.engine=scripted"])))
    code, _, err = selu(capsys, "up", "--resume", run.path, "--set", "run.seed=5")
    assert code == 2 and "run.seed is 0" in err and "cannot become 5" in err
    code, out, _ = selu(capsys, "up", "--resume", run.path, "--rounds", "9", "--dry-run")
    assert code == 0 and "rounds = 9" in out


def test_attach_names_the_topics_and_keeps_the_truth_apart(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "r").path
    code, _, err = selu(capsys, "attach", "verdict", "--run", run)
    assert code == 2 and "unknown topic 'verdict'" in err and "verdicts" in err
    code, _, err = selu(capsys, "attach", "outcomes", "--run", run)
    assert code == 2 and "evaluator only" in err
    code, _, err = selu(capsys, "attach", "verdicts", "--run", run, "--from", "yesterday")
    assert code == 2 and "not start, now or an offset" in err
    code, _, err = selu(capsys, "attach", "verdicts", "--run", run)
    assert code == 1 and "is not running" in err


def test_attach_without_a_hub_says_where_it_looked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.commands.attach.CONNECT_SECONDS", 0.2)
    code, _, err = selu(capsys, "attach", "rounds", "--connect", "ipc:///tmp/selu-nobody-listens-here")
    assert code == 1 and "selu-nobody-listens-here" in err


@pytest.mark.parametrize(
    ("error", "code"), [(NotAdmitted("revoked"), 2), (Replaced("two of a name"), 1), (Unavailable("gone"), 1)]
)
def test_attach_tells_what_the_hub_refuses_while_it_reads(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    async def fail(*_: object) -> int:
        raise ExceptionGroup("unhandled errors in a TaskGroup", [error])

    monkeypatch.setattr("scripts.commands.attach._follow", fail)
    assert selu(capsys, "attach", "rounds", "--connect", "ipc:///tmp/x") == (code, "", f"selu: {error}\n")


def test_report_of_no_run_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = selu(capsys, "report", tmp_path)
    assert code == 2 and "not a run folder" in err


def test_doctor_speaks_json_and_every_trouble_has_a_remedy(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.launch.health.vllm", lambda: iter(()))
    code, out, _ = selu(capsys, "doctor", "--json", "--model", tmp_path)
    findings = json.loads(out)
    assert code == 1
    assert all(finding["do"] for finding in findings if finding["state"] != "ok")
    assert next(f for f in findings if f["what"] == "model")["state"] == "fail"

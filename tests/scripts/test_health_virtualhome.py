"""What `selu doctor` finds about VirtualHome."""

from pathlib import Path

import pytest

from scripts.launch import health_players
from scripts.launch.health_virtualhome import virtualhome
from services.worlds.virtualhome import shims
from tests.worlds.virtualhome.conftest import COMMAND, family


def test_the_package_is_found_and_the_player_is_only_tried_where_it_is_given() -> None:
    (package,) = virtualhome()
    assert package.state == "ok" and "mode = graph works" in package.found and "--world virtualhome" in package.found
    package, *_, player = virtualhome(wanted=True)
    assert package.state == "ok" and "--world" not in package.found
    assert player.state == "warn" and "linux_exec.zip" in player.do


def test_all_that_a_player_needs_is_looked_at_where_the_world_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("shutil.which", lambda program: None)
    found = {finding.what: finding for finding in virtualhome(wanted=True)}
    assert list(found) == ["virtualhome", "display", "ports", "player's disk", "virtualhome player"]
    assert found["display"].state == "warn" and "apt-get install xvfb" in found["display"].do
    assert found["ports"].state == "ok"
    monkeypatch.setattr("scripts.launch.health_virtualhome.DISK_BYTES", 1 << 60)
    found = {finding.what: finding for finding in virtualhome(wanted=True)}
    assert found["player's disk"].state == "warn"


def test_a_display_is_looked_for_where_the_environment_says_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(health_players, "X_SOCKETS", tmp_path)
    monkeypatch.setenv("DISPLAY", ":77")
    (finding,) = health_players.display("players", needed=True)
    assert finding.state == "warn" and "no X server listens there" in finding.found
    (tmp_path / "X77").touch()
    (finding,) = health_players.display("players", needed=True)
    assert finding.state == "ok"
    monkeypatch.setenv("DISPLAY", "")
    (finding,) = health_players.display("players of platform Linux64", needed=False)
    assert finding.state == "ok" and "players of platform Linux64 want" in finding.found


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shims, "package_folder", lambda: None)
    monkeypatch.setattr(shims.sys, "modules", {k: v for k, v in shims.sys.modules.items() if "selu_virtual" not in k})
    (finding,) = virtualhome(wanted=True)
    assert finding.state == "fail"
    (finding,) = virtualhome()
    assert finding.state == "warn" and finding.do == "pip install --no-deps virtualhome==2.3.0"


def test_a_player_is_started_looked_through_and_ended() -> None:
    before = family()
    _, player = virtualhome(COMMAND)
    assert player.state == "ok" and "showed it in" in player.found
    assert family() == before


@pytest.mark.parametrize(("display", "do"), [("", "needs an X display"), (":9", "X server")])
def test_a_player_that_does_not_start_says_what_it_said(monkeypatch: pytest.MonkeyPatch, display: str, do: str) -> None:
    monkeypatch.setenv("STANDIN_VH_FAULT", "refuse")
    monkeypatch.setenv("DISPLAY", display)
    before = family()
    _, player = virtualhome(COMMAND)
    assert player.state == "fail" and "no graphics device" in player.found and do in player.do
    assert family() == before


def test_a_player_that_is_not_there_is_to_be_unpacked() -> None:
    _, player = virtualhome("/nowhere/linux_exec.v2.3.0.x86_64")
    assert player.state == "fail" and "chmod +x" in player.do

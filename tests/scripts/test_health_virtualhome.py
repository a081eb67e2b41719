"""What `selu doctor` finds about VirtualHome."""

import pytest

from scripts.launch.health_virtualhome import virtualhome
from services.worlds.virtualhome import shims
from tests.worlds.virtualhome.conftest import COMMAND, family


def test_the_package_is_found_and_the_player_is_only_tried_where_it_is_given() -> None:
    package, player = virtualhome()
    assert package.state == player.state == "ok"
    assert "mode = graph works" in package.found and "linux_exec.zip" in player.found


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shims, "package_folder", lambda: None)
    monkeypatch.setattr(shims.sys, "modules", {k: v for k, v in shims.sys.modules.items() if "selu_virtual" not in k})
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

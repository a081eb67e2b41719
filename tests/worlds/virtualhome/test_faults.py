"""All that can go wrong with a player: the episode is lost, its cause told, nothing is left, and it goes on."""

import time
from pathlib import Path

import psutil
import pytest

from services.worlds.load import load_world
from services.worlds.process import ProcessWorld
from services.worlds.virtualhome.world import VirtualHome
from services.worlds.world import WorldError
from tests.worlds.virtualhome.conftest import COMMAND, Make, family


def strike(monkeypatch: pytest.MonkeyPatch, fault: str, at: str, once: Path) -> None:
    monkeypatch.setenv("STANDIN_VH_FAULT", fault)
    monkeypatch.setenv("STANDIN_VH_AT", at)
    monkeypatch.setenv("STANDIN_VH_ONCE", str(once))


@pytest.mark.parametrize(
    ("fault", "at", "says"),
    [
        ("hang", "render_script:2", "player's render_script gave no answer within 1 s"),
        ("trickle", "environment_graph:4", "player's environment_graph gave no answer within 1 s"),
        ("exit", "render_script:2", "render_script was cut off: .*exit code 3; it said: the stand-in was told to go"),
        ("abort", "camera_image:2", "camera_image was cut off: .*exit code 134"),
        ("short", "render_script:2", "render_script was cut off"),
        ("garbage", "render_script:2", "render_script answered nonsense"),
        ("garbage", "camera_image:2", "camera_image answered nonsense"),
        ("status", "render_script:2", "render_script failed with HTTP status 500: Unknown error"),
        ("null", "camera_image:2", "picture of camera 6 cannot be read: TypeError"),
        ("null", "environment_graph:4", "gave no scene graph"),
        ("tiny", "camera_image:2", r"picture of camera 6 is uint8 \(32, 32, 3\)"),
    ],
)
def test_a_player_that_fails_in_an_episode_is_killed_and_the_next_reset_starts_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Make, fault: str, at: str, says: str
) -> None:
    before = family()
    strike(monkeypatch, fault, at, tmp_path / "struck")
    world = home(call_seconds=1.0 if fault in ("hang", "trickle") else 10.0, frame=48)
    world.reset(None, 1)
    with pytest.raises(WorldError, match=says):
        for _ in range(3):
            world.step("find fridge")
    assert family() == before
    with pytest.raises(WorldError, match="call reset first"):
        world.step("find fridge")
    world.reset(None, 1)
    assert world.step("find fridge")[0].error is None


@pytest.mark.parametrize(
    ("fault", "at", "says"),
    [
        ("exit", "environment:1", "player's environment was cut off"),
        ("hang", "clear:1", "player's clear gave no answer within 1 s"),
        ("status", "add_character:1", "add_character failed with HTTP status 500"),
        ("garbage", "camera_count:1", "camera_count answered nonsense"),
        ("exit", "expand_scene:1", "expand_scene was cut off"),
    ],
)
def test_a_player_that_fails_in_a_reset_is_killed_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Make, fault: str, at: str, says: str
) -> None:
    before = family()
    strike(monkeypatch, fault, at, tmp_path / "struck")
    world = home(reset_seconds=1.0 if fault == "hang" else 10.0, frame=32)
    with pytest.raises(WorldError, match=says):
        world.reset(None, 1)
    assert family() == before
    world.reset(None, 1)


def test_a_player_that_dies_between_two_steps_is_noticed(home: Make) -> None:
    before = family()
    world = home(frame=32)
    world.reset(None, 1)
    for process in psutil.Process().children(recursive=True):
        if process.pid not in before:
            process.kill()
    with pytest.raises(WorldError, match="was cut off"):
        world.step("find fridge")
    assert family() == before
    world.reset(None, 1)


def test_a_start_that_is_refused_once_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Make
) -> None:
    strike(monkeypatch, "refuse", "", tmp_path / "struck")
    home(frame=32).reset(None, 1)
    assert (tmp_path / "struck").exists()


def test_a_start_that_is_always_refused_says_what_the_player_said(monkeypatch: pytest.MonkeyPatch, home: Make) -> None:
    before = family()
    monkeypatch.setenv("STANDIN_VH_FAULT", "refuse")
    with pytest.raises(WorldError, match=r"ended while starting \(exit code 7; it said: no graphics device\), 2 times"):
        home().reset(None, 1)
    assert family() == before


def test_a_player_that_never_listens_is_killed_at_its_deadline(monkeypatch: pytest.MonkeyPatch, home: Make) -> None:
    before = family()
    monkeypatch.setenv("STANDIN_VH_FAULT", "mute")
    with pytest.raises(WorldError, match=r"gave no answer within 0\.5 s"):
        home(start_seconds=0.5, starts=1).reset(None, 1)
    assert family() == before


def test_a_player_that_cannot_be_run_at_all_is_said(tmp_path: Path, home: Make) -> None:
    broken = tmp_path / "player.x86_64"
    broken.write_bytes(b"\x7fELF but not really")
    broken.chmod(0o755)
    with pytest.raises(WorldError, match=r"cannot start .*player\.x86_64"):
        home(player=str(broken), starts=1).reset(None, 1)


def test_nobody_at_the_address_of_a_running_player_is_said(home: Make) -> None:
    with pytest.raises(WorldError, match="player's clear was cut off: ConnectionRefusedError"):
        home(player="", connect="127.0.0.1:9").reset(None, 1)


def test_a_running_player_serves_one_episode_at_a_time(home: Make, running_player: str) -> None:
    one = home(player="", connect=running_player, start_seconds=0.1)
    other = home(player="", connect=running_player, start_seconds=0.1)
    one.reset(None, 1)
    with pytest.raises(WorldError, match="all 1 players of 'connect' are in use"):
        other.reset(None, 1)
    one.close()
    other.reset(None, 1)


def test_the_world_in_a_process_of_its_own_keeps_no_player_when_it_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = family()
    monkeypatch.setenv("STANDIN_VH_FAULT", "hang")
    world = load_world("virtualhome", mode="unity", player=COMMAND, frame=32, call_seconds=1.0)
    assert isinstance(world, ProcessWorld)
    world.reset(None, 1)
    with pytest.raises(WorldError, match="render_script gave no answer within 1 s"):
        world.step("find fridge")
    monkeypatch.delenv("STANDIN_VH_FAULT")
    world.reset(None, 2)
    players = [psutil.Process(pid) for pid in family() - before]
    assert len(players) == 3  # the world's, the keeper's and the player's
    psutil.Process(world.pid).kill()
    with pytest.raises(WorldError, match="ended during step"):
        world.step("find fridge")
    psutil.wait_procs(players, timeout=10)
    assert not any(player.is_running() for player in players)
    world.close()


def test_options_are_refused_before_a_process_is_started() -> None:
    with pytest.raises(ValueError, match="no option 'speed'"):
        load_world("virtualhome", mode="unity", player=COMMAND, speed=2)
    world = load_world("virtualhome")
    assert isinstance(world, VirtualHome)


def test_a_world_that_is_dropped_takes_its_player_along() -> None:
    before = family()
    world = VirtualHome(mode="unity", player=COMMAND, frame=32)
    world.reset(None, 1)
    assert family() > before
    del world
    until = time.monotonic() + 10
    while family() != before:
        assert time.monotonic() < until

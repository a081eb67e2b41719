"""What the launcher shows: every event that matters in words, the state of the round, and when a run is over."""

import io

import msgspec
import pytest
from rich.console import Console

from protocols.messages import Health, Progress
from runtime.storage import STORAGE_FULL
from runtime.streams import Delivery
from runtime.supervisor import Exit
from scripts.launch import lines
from scripts.launch.ending import table
from scripts.launch.plan import new_plan
from scripts.launch.screen import draw
from scripts.launch.speak import harmless
from scripts.launch.watch import Watch
from services.report.numbers import seconds, size
from services.report.state import ReportState
from tests.report.story import two_rounds

PLAN = new_plan("scripted")


def fresh() -> Watch:
    return Watch(PLAN.settings, {process.instance: process.role for process in PLAN.processes})


def beat(instance: str, *, answered: float, pid: int = 1, ready: bool = True) -> Delivery:
    health = Health(
        role=instance.split("-")[0],
        instance=instance,
        pid=pid,
        ready=ready,
        rss_bytes=1 << 20,
        gauges={"answered": answered},
    )
    return Delivery("health", 0, "x", instance, 0.0, health)


def died(instance: str, *, code: int | None = None, again_in: float | None = 0.1) -> Exit:
    return Exit(
        instance=instance,
        pid=1,
        code=code,
        signal=None if code is not None else "SIGKILL",
        seconds=3.0,
        tail=("Traceback", "MemoryError"),
        deaths=1,
        again_in=again_in,
    )


def test_a_disk_is_full_while_the_hub_or_a_service_says_so() -> None:
    watch = fresh()
    assert not watch.storage_full
    for instance in ("hub", "simulator-0"):
        for full in (True, False):
            role = instance.removesuffix("-0")
            said = Health(
                role=role, instance=instance, pid=1, ready=True, rss_bytes=1, gauges={STORAGE_FULL: float(full)}
            )
            watch.hear_live(Delivery("health", 0, "x", instance, 0.0, said), 1.0)
            assert watch.storage_full is full and ("the disk is full" in lines.status(watch)) is full
    watch.hear_live(
        Delivery("health", 0, "x", "simulator-0", 0.0, msgspec.structs.replace(said, gauges={STORAGE_FULL: 1})), 1.0
    )
    watch.exited(died("simulator-0"), 2.0)
    assert not watch.storage_full, "who is gone does not wait"


def test_what_is_done_is_no_longer_shown_as_going_on() -> None:
    watch = fresh()

    def say(what: str, done: int) -> None:
        said = Progress(role="trainer", what=what, done=done, total=10)
        watch.hear_live(Delivery("progress", 0, "x", "trainer-0", 0.0, said), 1.0)

    say("training critic@1", 9)
    say("training actor@1", 3)
    say("training critic@1", 10)
    assert [what for _, what in watch.progress] == ["training actor@1"]
    say("training critic@2", 1)
    say("training actor@1", 4)
    assert list(watch.progress)[-1] == ("trainer", "training actor@1"), "what moved last is last"


@pytest.mark.parametrize(("done", "total"), [(0, 0), (3, 10), (10, 10)])
def test_progress_that_says_the_same_again_is_no_movement(done: int, total: int) -> None:
    watch = fresh()
    for now in (1.0, 2.0, 3.0):
        said = Progress(role="trainer", what="training critic@1", done=done, total=total)
        watch.hear_live(Delivery("progress", 0, "x", "trainer-0", 0.0, said), now)
    assert watch.moved == 1.0


def test_a_run_is_told_in_lines() -> None:
    watch = fresh()
    told: list[str] = []
    for delivery in two_rounds().told:
        watch.hear(delivery, 1.0)
        told += [text] if (text := lines.event(delivery, watch)) else []
    said = "\n".join(told)
    for part in (
        "round 1/2: collecting 6 trajectories with actor@0, judged by critic@0",
        "training the critic; critic says yes to 33%, asking turned 50%, 50% succeeded, 33% of the failures relabelled",
        "training the actor; the tuned critic repeats 83% of the verdicts",
        "critic@1 trained on 48 rows in 3.5 s",
        "critic@1 serves in critic-0 after 0.20 s, with 7 requests in flight",
        "actor@1: held-out success 56.0% [50.0, 62.0] (n=200), +10.0 points against the base",
        "critic@2 refused: self-feedback collapsed",
        "fault in trainer-0: critic@2 refused",
        "round 2/2: finished",
    ):
        assert part in said
    assert watch.done


def test_a_finished_run_that_is_given_more_rounds_goes_on() -> None:
    longer = new_plan("scripted", overrides=["run.rounds=3"]).settings
    watch = Watch(longer, {})
    for at, delivery in enumerate(two_rounds().told):
        watch.hear(delivery, float(at))
    assert watch.state.finished and not watch.done


def test_a_run_is_not_done_before_its_figures_are_there() -> None:
    watch = fresh()
    for delivery in two_rounds().told:
        if delivery.id != "actor@2" or delivery.topic != "evaluations":
            watch.hear(delivery, 1.0)
    assert not watch.done and watch.evaluations_due == [("actor", 2)]
    assert "evaluating actor@2" in lines.status(watch)


def test_the_rate_of_answers_is_that_between_two_heartbeats_of_one_life() -> None:
    watch = fresh()
    for now, pid, answered in ((1.0, 1, 10.0), (2.0, 1, 30.0)):
        watch.hear_live(beat("actor-0", answered=answered, pid=pid), now)
    assert watch.requests_per_second == 20.0
    watch.hear_live(beat("actor-0", answered=1.0, pid=2), 3.0)
    assert watch.members["actor-0"].restarts == 0 and watch.requests_per_second == 20.0
    watch.exited(died("actor-0"), 4.0)
    assert watch.requests_per_second == 0.0 and "actor-0" in watch.unready and watch.members["actor-0"].restarts == 1


def test_the_status_names_who_is_waited_for() -> None:
    watch = fresh()
    assert "waiting for simulator-0, actor-0" in lines.status(watch)
    for member in list(watch.members):
        watch.hear_live(beat(member, answered=0.0), 1.0)
    assert watch.unready == [] and lines.status(watch) == "waiting for the first round"


def test_a_death_is_told_with_what_follows_and_its_last_words() -> None:
    assert lines.exited(died("critic-0")) == (
        "critic-0 was killed by SIGKILL after 3.0 s: started again in 0.1 s (death 1); its last words: MemoryError"
    )
    assert "given up" in lines.exited(died("critic-0", code=1, again_in=None))
    assert lines.exited(died("critic-0", code=0, again_in=None)) == "critic-0 has done its work"


def test_the_screen_draws_every_stage_of_a_run() -> None:
    watch = fresh()
    watch.hear_live(
        Delivery("progress", 0, "x", "t", 0.0, Progress(role="trainer", what="training critic@1", done=3, total=9)), 1.0
    )
    drawn: list[str] = []
    for delivery in two_rounds().told:
        watch.hear(delivery, 1.0)
        watch.hear_live(beat("critic-0", answered=1.0), 1.0)
        out = io.StringIO()
        Console(file=out, width=140).print(draw(watch, "12 s"))
        drawn.append(out.getvalue())
    assert all("critic-0" in text for text in drawn)
    assert "66.0%" in drawn[-1] and "training critic@1" in drawn[-1]


def test_the_last_table_has_every_round_and_the_gain_with_its_interval() -> None:
    state = ReportState()
    for delivery in two_rounds().told:
        state.apply(delivery)
    rows = table(state.summary()).splitlines()
    assert [row.split()[0] for row in rows] == ["round", "0", "1", "2", "gain"]
    assert "+14.0 points [+5.5, +22.5]" in rows[-1] and "critic@1, actor@2" in rows[3]


@pytest.mark.parametrize(
    ("time", "text"), [(0.4, "0.40 s"), (12.3, "12 s"), (185, "3 min 5 s"), (4800, "1 h 20 min"), (59.7, "1 min 0 s")]
)
def test_durations_are_said_as_people_say_them(time: float, text: str) -> None:
    assert seconds(time) == text


def test_sizes_are_said_in_binary_units() -> None:
    assert [size(n) for n in (5, 2048, 3 << 20, 5 << 29)] == ["5 bytes", "2 KiB", "3 MiB", "2.5 GiB"]


def test_what_a_model_says_does_nothing_to_a_terminal() -> None:
    assert harmless("open \x1b[2Jfridge\r\n\x07 \u202e é 開") == "open \ufffd[2Jfridge\ufffd\ufffd\ufffd \ufffd é 開"

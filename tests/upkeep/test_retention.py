"""What retention lets go is needed by nobody: no training to come, no consumer group, no measurement, no episode."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.messages import Adapter, Trajectory, Verdict
from runtime.blobs import BlobStore
from runtime.log import Log, Mark
from runtime.metrics import Metrics
from runtime.runfolder import RunFolder
from runtime.settings import SettingsError, dump, load
from scripts.launch.plan import resumed_plan
from scripts.launch.preflight import problems
from scripts.selu import main
from scripts.upkeep.retention import Holdings, frames_of
from scripts.upkeep.sweep import Sweeper, Unreadable, grace_seconds
from services.evaluator.judgements import Held
from services.settings import Lora, Run, Settings, Simulator, Trainer
from tests.builders import trajectory
from tests.trainer.story import Story
from tests.upkeep.folder import append, make_run, named, with_retention

TRAINERS = st.builds(
    Trainer,
    replay=st.booleans(),
    relabels=st.sampled_from(["off", "critic", "direct", "all"]),
    accept=st.sampled_from(["critic", "agree"]),
    actor=st.builds(Lora, max_rows=st.integers(1, 60)),
    critic=st.builds(Lora, max_rows=st.integers(1, 30)),
)


@settings(max_examples=40)
@given(
    trainer=TRAINERS,
    kept=st.integers(0, 2),
    gib=st.sampled_from([0.0, 2e-7, 2e-6]),
    refused=st.frozensets(st.sampled_from(["critic@1", "actor@2", "critic@3/swap"])),
    group=st.sampled_from(["mine", "mine/too", "critic", "critic/rejudge@1", "relabeler"]),
    share=st.floats(0, 1),
    every=st.integers(5, 20),
)
def test_whenever_it_is_let_go_nothing_goes_that_somebody_still_looks_at(
    trainer: Trainer, kept: int, gib: float, refused: frozenset[str], group: str, share: float, every: int
) -> None:
    chosen = Settings(run=Run(rounds=5), simulator=Simulator(quota=4), trainer=trainer)
    story = Story(chosen, refused=refused)
    story.run()
    holdings = Holdings(with_retention(kept, gib, chosen))
    sizes: dict[str, int] = {}
    gone, last, done = set[str](), 0, set[str]()
    for now, event in enumerate(story.events, 1):
        if isinstance(event, Adapter):
            rows = story.trained[f"{event.role}@{event.version}"].rows
            assert gone.isdisjoint(row.frame for row in rows), "it was still to be learned from"
            done |= {*event.files.values(), event.dataset}
        if isinstance(event, Verdict):
            assert event.frame not in gone, "it was still to be judged"
        last = event.round if isinstance(event, Trajectory) else last
        holdings.apply(now, named(event)[0], event)
        sizes |= dict.fromkeys(frames_of(event), 60)
        if now % every:
            continue
        plan = holdings.plan([Mark(group, "verdicts", acknowledged := int(share * now), ())], sizes)
        going = sizes.keys() - plan.needed
        for offset, past in enumerate(story.events[:now], 1):
            if isinstance(past, Trajectory | Verdict) and frames_of(past) & (going - gone):
                assert past.round in plan.rounds, "what goes is said"
                assert past.round <= last - kept or gib, "so many rounds are kept"
                assert kept or gib, "by default all are kept"
                yet_to_read = isinstance(past, Verdict) and offset > acknowledged
                assert not (group.startswith("mine") and yet_to_read), "the group has yet to read of it"
        assert gone.isdisjoint(holdings.to_learn_from), "what went is not asked for again"
        assert done <= plan.needed
        gone |= going
    if kept == 1 and not trainer.replay and not group.startswith("mine"):
        assert gone, "something goes at all"


def small() -> Settings:
    """Trains on nothing but the newest round."""
    return Settings(run=Run(rounds=3), simulator=Simulator(quota=6), trainer=Trainer(replay=False))


Made = tuple[RunFolder, Story]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make_run(tmp_path / "run", with_retention(1, settings=small()))


def frames(story: Story, round: int) -> set[str]:
    return {f for e in story.events if isinstance(e, Trajectory) and e.round == round for f in frames_of(e)}


def there(run: RunFolder) -> set[str]:
    return {stored.digest for stored in BlobStore(run.blobs).entries()}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_what_is_needless_goes_after_it_lay_untouched_for_the_whole_grace(made: Made) -> None:
    run, story = made
    clock = Clock()
    sweeper = Sweeper(run, with_retention(1, settings=small()), grace=100.0, clock=clock)
    assert sweeper.sweep().blobs == 0
    clock.now += 60
    touched = b"1/0/0"
    again = BlobStore(run.blobs).put(touched)
    clock.now += 50
    swept = sweeper.sweep()
    assert swept.rounds == (1, 2) and swept.blobs == len(frames(story, 1) | frames(story, 2)) - 1
    assert there(run) & (frames(story, 1) | frames(story, 2)) == {again}
    assert frames(story, 3) <= there(run)
    clock.now += 90
    assert sweeper.sweep().blobs == 0
    clock.now += 20
    assert (swept := sweeper.sweep()).blobs == 1 and swept.rounds == ()
    assert again not in there(run)


def test_a_blob_that_is_put_again_between_look_and_deletion_stays(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    digest = blobs.put(b"a frame")
    (seen,) = blobs.entries()
    assert blobs.put(b"a frame") == digest
    assert not blobs.drop(seen) and blobs.get(digest) == b"a frame"
    (seen,) = blobs.entries()
    assert blobs.drop(seen) and not blobs.has(digest) and not blobs.drop(seen)
    assert blobs.put(b"a frame") == digest and blobs.halves() == []


def test_frames_to_measure_on_stay_though_no_message_names_them_and_other_orphans_go(made: Made) -> None:
    run, _ = made
    blobs = BlobStore(run.blobs)
    measured, orphan = blobs.put(b"held out"), blobs.put(b"nobody's")
    (run.path / "evaluation").mkdir()
    held = msgspec.json.encode(Held(index=0, task=None, frame=measured, success=True))
    (run.path / "evaluation" / "heldout_judge.jsonl").write_bytes(held + b'\n{"index": 1, "ta')
    Sweeper(run, small(), grace=0).sweep()
    assert measured in there(run) and orphan not in there(run)


def test_a_consumer_group_that_lags_keeps_the_rounds_it_has_yet_to_read(made: Made) -> None:
    run, story = made
    first = next(at for at, e in enumerate(story.events, 1) if isinstance(e, Trajectory) and e.round == 2)
    log = Log(run.log_file)
    log.write([], [Mark("mine", "trajectories", first, ()), Mark("critic", "trajectories", 1, ())])
    log.close()
    sweeper = Sweeper(run, with_retention(1, settings=small()), grace=0)
    swept = sweeper.sweep(groups=[("new", "verdicts")], pretend=True)
    assert swept.blobs == 0 and swept.plan.waiting == {"mine": (2, 3), "new": (1, 2, 3)}
    swept = sweeper.sweep(groups=[("mine", "trajectories")])
    assert swept.rounds == (1,) and swept.plan.waiting == {"mine": (2, 3)}
    assert frames(story, 2) <= there(run)


def test_a_message_that_cannot_be_read_stops_all_letting_go(made: Made) -> None:
    log = Log(made[0].log_file)
    newer = msgspec.msgpack.encode({"schema": 99, "topic": "trajectories", "id": "r9-00000", "body": {}})
    log.write([msgspec.structs.replace(append("trajectories", "r9-00000", trajectory()), envelope=newer)])
    log.close()
    before = there(made[0])
    with pytest.raises(Unreadable, match="cannot be read"):
        Sweeper(made[0], with_retention(1, settings=small()), grace=0).sweep()
    assert main(["compact", str(made[0].path)]) == 2
    assert there(made[0]) == before


def test_what_cannot_be_recorded_is_not_let_go(
    made: Made, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = made
    before = there(run)
    monkeypatch.setattr(Metrics, "write", lambda *what, **fields: False)  # as on a full disk
    assert main(["compact", str(run.path)]) == 2
    assert "cannot be recorded" in capsys.readouterr().err and there(run) == before


def test_by_default_nothing_that_a_message_names_is_let_go(made: Made) -> None:
    run, _ = made
    before = there(run)
    swept = Sweeper(run, small(), grace=0).sweep()
    assert swept.blobs == 0 and there(run) == before


def test_a_bound_in_bytes_takes_the_oldest_rounds_first_and_says_when_it_cannot_be_kept(made: Made) -> None:
    run, story = made
    log = Log(run.log_file, readonly=True)
    holdings = Holdings(with_retention(gib=1.0, settings=small()))
    for record, event in zip(log.read(), story.events, strict=True):
        holdings.apply(record.offset, record.topic, event)
    log.close()
    sizes = dict.fromkeys(holdings.named, 1 << 28)
    bound = (len(holdings.permanent) + len(frames(story, 2) | frames(story, 3))) / 4 + 0.1
    holdings._settings = with_retention(gib=bound, settings=small())  # pyright: ignore[reportPrivateUsage]
    plan = holdings.plan([], sizes)
    assert plan.rounds == (1,) and plan.over == 0
    holdings._settings = with_retention(gib=0.5, settings=small())  # pyright: ignore[reportPrivateUsage]
    plan = holdings.plan([], sizes)
    assert plan.rounds == (1, 2, 3) and plan.over > 0 and frames(story, 3) <= plan.needed


def test_compact_says_what_goes_and_afterwards_everything_still_holds(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    run, story = made
    Metrics(run, "launcher").write("session", event="start")
    before = there(run)
    assert main(["compact", str(run.path), "--dry-run"]) == 0
    assert "would go" in capsys.readouterr().out and there(run) == before
    assert main(["compact", str(run.path)]) == 0
    said = capsys.readouterr().out
    assert "rounds without frames: 1, 2" in said and "now" in said
    assert there(run) == before - frames(story, 1) - frames(story, 2)
    assert main(["doctor", str(run.path)]) == 0
    said = capsys.readouterr().out
    assert "frames of rounds 1, 2 were let go on purpose" in said
    assert main(["replay", str(run.path)]) == 0
    assert main(["report", str(run.path)]) == 0
    assert "rounds 1, 2" in capsys.readouterr().out.partition("let go")[2]
    assert "Frames of rounds 1, 2 were let go" in run.report_file.read_text()


def test_a_frame_that_is_needed_and_gone_is_no_purpose_of_retention(made: Made) -> None:
    run, story = made
    assert main(["compact", str(run.path)]) == 0
    BlobStore(run.blobs).path(min(frames(story, 3))).unlink()
    assert main(["doctor", str(run.path)]) == 1


def test_a_run_in_use_is_not_compacted(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    before = there(made[0])
    with made[0].locked():
        assert main(["compact", str(made[0].path)]) == 2
    assert "in use by another launcher" in capsys.readouterr().err and there(made[0]) == before


def test_a_run_cannot_go_on_with_settings_that_learn_from_what_was_let_go(made: Made) -> None:
    assert main(["compact", str(made[0].path)]) == 0
    run = made[0]
    run.write_settings(dump(load(Settings, file=run.settings_file, overrides=["model.engine=scripted"])))
    assert problems(resumed_plan(run.path, overrides=["run.rounds=5"])) == []
    # By hand: selu up itself lets nobody change what is learned.
    run.write_settings(dump(load(Settings, file=run.settings_file, overrides=["trainer.replay=true"])))
    (said,) = problems(resumed_plan(run.path, overrides=["run.rounds=5"]))
    assert "frames of round 1, 2, which retention let go" in said


def test_the_grace_is_longer_than_any_episode() -> None:
    longest = Simulator(max_steps=10, step_seconds=30)
    assert grace_seconds(Settings(simulator=longest)) > 10 * (30 + 5 * 120)


def test_a_run_cannot_go_back_to_fewer_rounds_than_it_has_begun(made: Made) -> None:
    with pytest.raises(SettingsError, match=r"is in round 3 already: set run\.rounds=3 or more"):
        resumed_plan(made[0].path, overrides=["run.rounds=2"])

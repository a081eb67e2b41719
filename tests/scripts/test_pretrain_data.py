"""Rows for pretraining are true of the world they were drawn from, balanced, and the same everywhere."""

import random
from collections import Counter
from itertools import combinations

import pytest

from scripts.pretraining.data import LIMIT, Shard, demonstrate, join, make_shard
from scripts.pretraining.posttrain import mislabelled
from scripts.pretraining.questions import STATES, ask, ask_places, picture
from services.relabeler.prompts import which_object
from services.worlds.household.actions import parse_action
from services.worlds.household.scramble import scramble
from services.worlds.household.state import HAND, act
from services.worlds.household.tasks import draw_episode, holds, make_task
from services.worlds.household.vocabulary import KINDS
from services.worlds.verbs import VERBS

SMALL = Shard(stage="pretrain", seed=3, index=0, images=60)


@pytest.fixture(scope="module")
def asked():
    """Scrambled states from both views with the questions about them."""
    rng = random.Random(0)
    found = []
    for seed in range(400):
        episode = draw_episode(seed, "source")
        state = scramble(episode.state, rng)
        about = picture(state, episode.room, "third" if seed % 2 else "first")
        found.append((about, list(ask(about, rng, 6))))
    return found


def test_closed_questions_about_states_are_answered_as_the_world_would(asked):
    adjectives = {f"is-{VERBS[verb].state}": verb for verb in STATES}
    for about, questions in asked:
        for question in questions:
            if question.kind in adjectives:
                name = question.prompt.split()[2]
                seen = name in {thing.name for thing in about.seen}
                truly = seen and holds(about.state, make_task(adjectives[question.kind], name))
                assert question.answer == ("yes" if truly else "no")


def test_an_object_named_by_a_which_question_makes_its_task_hold(asked):
    named = Counter()
    for about, questions in asked:
        for question in questions:
            if not question.kind.startswith("which-"):
                continue
            verb = next(verb for verb in STATES if which_object(verb) == question.prompt)
            true = {thing.name for thing in about.seen if holds(about.state, make_task(verb, thing.name))}
            assert question.answer in true if true else question.answer == "nothing"
            named[question.answer != "nothing"] += 1
    assert min(named[True], named[False]) > 50


def test_where_is_answered_with_a_fixture_the_hand_the_floor_or_hidden(asked):
    answers = Counter()
    for about, questions in asked:
        for question in questions:
            if question.kind == "where":
                name = question.prompt.removeprefix("Where is the ").removesuffix("?")
                thing = next((thing for thing in about.seen if thing.name == name), None)
                if thing is None:
                    expected = "hidden"
                elif thing.at == HAND:
                    expected = "hand"
                else:
                    expected = "floor" if thing.floor else about.state.things[thing.at].name
                assert question.answer == expected
                answers[expected if expected in ("hidden", "hand", "floor") else "fixture"] += 1
    assert all(answers[kind] > 10 for kind in ("hidden", "hand", "floor", "fixture"))


def test_whether_a_thing_is_in_a_place_is_answered_as_the_world_would_and_as_often_yes_as_no():
    rng, answers = random.Random(0), Counter()
    for seed in range(400):
        episode = draw_episode(seed, "source")
        about = picture(scramble(episode.state, rng), episode.room, "third" if seed % 2 else "first")
        seen, asked = {thing.name for thing in about.seen}, Counter()
        for question in ask_places(about, rng, 2):
            _, _, name, _, _, place = question.prompt.removesuffix("?").split()
            task = make_task("put", name, place)
            assert task.instruction.removeprefix("put ") in question.prompt.replace("Is the", "the")
            assert question.answer == ("yes" if name in seen and holds(about.state, task) else "no")
            asked[name, question.answer] += 1
            answers[question.answer] += 1
        assert all(count == 1 for count in asked.values()), "a thing is asked about once for each answer"
    assert 0.4 < answers["yes"] / answers.total() < 0.5


def test_practice_is_mostly_about_places_and_has_acts_and_other_questions_beside():
    kinds = Counter(row.kind for row in make_shard(Shard(stage="practise", seed=3, index=0, images=200)).rows)
    assert kinds["is-placed"] > 0.5 * kinds.total()
    assert kinds["act"] > 10
    assert kinds["where"] > 0
    assert not any(kind.startswith("judge") for kind in kinds)


def test_stages_never_share_an_episode():
    firsts = {
        (stage, seed, index): Shard(stage=stage, seed=seed, index=index).first_seed
        for stage in ("pretrain", "posttrain", "practise")
        for seed in (0, 1, 49)
        for index in (0, 1, 239)
    }
    assert len(set(firsts.values())) == len(firsts)
    assert min(abs(a - b) for a, b in combinations(firsts.values(), 2)) >= 5000


def test_holding_and_sitting_are_asked_from_both_views(asked):
    kinds = Counter(
        (about.view, question.kind, question.answer != "nothing")
        for about, questions in asked
        for question in questions
    )
    for view in ("first", "third"):
        for kind in ("holding", "sitting", "is-open", "which-open", "where"):
            assert kinds[view, kind, True] > 0


def test_yes_and_no_are_about_equally_frequent(asked):
    answers = Counter(q.answer for _, questions in asked for q in questions if q.answer in ("yes", "no"))
    assert 0.45 < answers["yes"] / answers.total() < 0.55


def test_no_question_is_asked_twice_of_a_picture(asked):
    for _, questions in asked:
        assert len({question.prompt for question in questions}) == len(questions)


def test_every_object_is_asked_about():
    rng, names = random.Random(1), set()
    for seed in range(600):
        episode = draw_episode(seed, "source")
        for question in ask(picture(scramble(episode.state, rng), episode.room, "third"), rng, 12):
            names |= {name for name in KINDS if name in question.prompt.rstrip("?").split()}
    assert names == set(KINDS)


def test_a_demonstration_is_what_the_world_makes_of_its_actions():
    rng, verbs = random.Random(2), Counter()
    for seed in range(120):
        episode = draw_episode(seed, "source")
        demo = demonstrate(episode, rng)
        state = episode.state
        for shown, action in zip(demo.states, demo.actions, strict=True):
            assert shown == state
            parsed = parse_action(action)
            if parsed:
                state, _ = act(state, episode.rules, parsed)
        assert state == demo.final
        assert 1 <= len(demo.actions) <= LIMIT
        assert "done" not in demo.actions[:-1]
        verbs[holds(state, episode.task)] += 1
    assert verbs[True] > verbs[False] > 5


def test_a_shard_is_the_same_bytes_each_time_and_other_bytes_for_another_seed():
    first = make_shard(SMALL)
    assert make_shard(SMALL).digest == first.digest
    assert make_shard(Shard(stage="pretrain", seed=4, index=0, images=60)).digest != first.digest


def test_joined_shards_keep_each_row_with_its_picture():
    parts = [make_shard(Shard(stage="posttrain", seed=0, index=index, images=20)) for index in range(2)]
    whole = join(parts)
    assert len(whole.images) == 40
    assert [row.image for row in whole.rows[len(parts[0].rows) :]] == [row.image + 20 for row in parts[1].rows]
    assert (whole.images[20:] == parts[1].images).all()


def test_posttraining_labellers_miss_successes_and_invent_none():
    rows = [
        row for row in make_shard(Shard(stage="posttrain", seed=0, index=0, images=200)).rows if "judge" in row.kind
    ]
    labelled = mislabelled(rows, 0.5, random.Random(0))
    pairs = Counter((true.answer, said.answer) for true, said in zip(rows, labelled, strict=True))
    assert pairs["no", "yes"] == 0
    assert pairs["yes", "no"] > 10
    assert pairs["yes", "yes"] > 10

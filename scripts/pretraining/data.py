"""Source-domain rows for pretraining: pictures with questions, noisy demonstrations and judgements.

Only this module trains on the world's truth. A model pretrained on the source household stands for a model that users
download. SELU starts afterwards, in a household with other rules and looks, and never sees the truth.
"""

import hashlib
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from protocols.messages import Task
from scripts.pretraining.questions import View, ask, ask_places, picture
from services.actor import prompts as actor
from services.critic import prompts as critic
from services.worlds.household.actions import DONE, parse_action
from services.worlds.household.expert import expert_action, random_action
from services.worlds.household.rules import NAMES, SOURCE_SHARES
from services.worlds.household.scene import make_scene
from services.worlds.household.scramble import scramble
from services.worlds.household.state import State, act
from services.worlds.household.tasks import Domain, Episode, draw_episode, holds, make_task
from services.worlds.world import Frame

SIZE = 128
SHARD_IMAGES = 500
LIMIT = 10
EVEN_SHARES = {"navigate_first": 0.7, "open_first": 0.42, "hold_to_break": 0.42, "knife_to_slice": 0.42}
"""Rules of the post-training's episodes, nearly even: later exploration then meets each of them."""


class Row(NamedTuple):
    """One supervised example about the picture with index ``image`` in its corpus."""

    image: int
    kind: str
    prompt: str
    answer: str


class Corpus(NamedTuple):
    """``images`` is uint8 [n, 128, 128, 3]; ``digest`` covers every pixel and text."""

    images: NDArray[np.uint8]
    rows: list[Row]
    digest: str


StageName = Literal["pretrain", "posttrain", "practise"]


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """The work of one worker, by ``stage``.

    "pretrain": questions about scrambled rooms, and demonstrations. "posttrain": one action and one judgement per
    episode, under nearly even rules, with some questions. "practise": questions about a scrambled room, most of them
    whether an object is in or on a place, and for some episodes one action, under the same rules.
    """

    stage: StageName
    seed: int
    index: int
    images: int = SHARD_IMAGES
    domain: Domain = "source"
    shift: float = 0.0

    @property
    def first_seed(self) -> int:
        """The first episode seed. Seeds differ between stages, run seeds and shards, and from all world splits."""
        stage = {"pretrain": 0, "posttrain": 50, "practise": 100}[self.stage]
        return 10_000_000_000 + (stage + self.seed) * 10_000_000 + self.index * 5_000


class _Sheet:
    """Collects pictures and rows."""

    def __init__(self) -> None:
        self.images: list[NDArray[np.uint8]] = []
        self.rows: list[Row] = []

    def add(self, image: NDArray[np.uint8]) -> int:
        self.images.append(image)
        return len(self.images) - 1

    def ask(self, image: int, state: State, room: str, view: View, rng: random.Random, count: int) -> None:
        self.rows += [Row(image, *question) for question in ask(picture(state, room, view), rng, count)]

    def act(self, episode: Episode, demo: "Demonstration", draw: "Painter", rng: random.Random) -> None:
        """Adds one of a demonstration's first five actions, with the first-person view of its state."""
        step = min(rng.randrange(5), len(demo.actions) - 1)
        prompt = actor.next_action(episode.task.instruction, demo.actions[:step])
        self.rows.append(Row(self.add(draw(demo.states[step], "first")), "act", prompt, demo.actions[step]))

    def judge(self, image: int, state: State, tasks: Sequence[Task]) -> None:
        for task in tasks:
            answer = critic.YES if holds(state, task) else critic.NO
            self.rows.append(Row(image, f"judge-{task.verb}", critic.judge(task.instruction), answer))


class Demonstration(NamedTuple):
    """The state before each action, the actions ("done" may be the last), and the final state."""

    states: list[State]
    actions: list[str]
    final: State


def demonstrate(
    episode: Episode, rng: random.Random, *, noise: float = 0.06, quit: float = 0.04, wrong: float = 0.05
) -> Demonstration:
    """A noisy demonstration: random actions, early stops, and sometimes a wrong belief about the rules.

    ``noise`` and ``quit`` are probabilities per action, ``wrong`` is one per episode. A refused action corrects the
    belief.
    """
    state, belief = episode.state, episode.rules
    if rng.random() < wrong:
        belief = replace(belief, **{rng.choice(NAMES): False})
    states: list[State] = []
    actions: list[str] = []
    while len(actions) < LIMIT:
        action = expert_action(state, belief, episode.task)
        if action != DONE:
            if rng.random() < quit:
                action = DONE
            elif rng.random() < noise:
                action = random_action(state, rng)
        states.append(state)
        actions.append(action)
        parsed = parse_action(action)
        if parsed is None:
            break
        state, error = act(state, episode.rules, parsed)
        if error:
            belief = episode.rules
    return Demonstration(states, actions, state)


def look_alikes(state: State, task: Task, rng: random.Random) -> list[Task]:
    """The same instruction about other objects of the room with the same affordances; mostly not done."""
    thing = state.find(task.object)
    if thing is None or task.verb == "put":
        return []
    names = [t.name for t in state.things if t.name != thing.name and t.kind.affordances == thing.kind.affordances]
    return [make_task(task.verb, rng.choice(names))] if names else []


Painter = Callable[[State, View], Frame]


def painter(episode: Episode, shift: float) -> Painter:
    """Returns a function that draws the episode's states from either view."""
    scene = make_scene(episode, shift, SIZE)
    return lambda state, view: scene.third_person(state) if view == "third" else scene.first_person(state)


def make_shard(shard: Shard) -> Corpus:
    """The pictures and rows of a shard. The same shard has the same bytes on any machine."""
    rng = random.Random(f"{shard.stage}/{shard.domain}/{shard.seed}/{shard.index}")
    sheet, seed = _Sheet(), shard.first_seed
    fill = {"pretrain": _pretraining, "posttrain": _posttraining, "practise": _practising}[shard.stage]
    while len(sheet.images) < shard.images:
        fill(sheet, seed, shard, rng)
        seed += 1
    images = np.stack(sheet.images[: shard.images])
    rows = [row for row in sheet.rows if row.image < shard.images]
    digest = hashlib.sha256(images.tobytes())
    digest.update(msgspec.json.encode(rows))
    return Corpus(images, rows, digest.hexdigest())


def _pretraining(sheet: _Sheet, seed: int, shard: Shard, rng: random.Random) -> None:
    episode = draw_episode(seed, shard.domain, rule_shares=SOURCE_SHARES)
    draw = painter(episode, shard.shift)
    if rng.random() < 0.75:
        state, view = scramble(episode.state, rng), rng.choices(("third", "first"), (3, 1))[0]
        sheet.ask(sheet.add(draw(state, view)), state, episode.room, view, rng, 6)
        return
    demo = demonstrate(episode, rng)
    for step, (state, action) in enumerate(zip(demo.states, demo.actions, strict=True)):
        image = sheet.add(draw(state, "first"))
        prompt = actor.next_action(episode.task.instruction, demo.actions[:step])
        sheet.rows.append(Row(image, "act", prompt, action))
        if rng.random() < 0.3:
            sheet.ask(image, state, episode.room, "first", rng, 1)
    image = sheet.add(draw(demo.final, "third"))
    sheet.ask(image, demo.final, episode.room, "third", rng, 3)
    sheet.judge(image, demo.final, [episode.task, *look_alikes(demo.final, episode.task, rng)])


def _posttraining(sheet: _Sheet, seed: int, shard: Shard, rng: random.Random) -> None:
    episode = draw_episode(seed, shard.domain, rule_shares=EVEN_SHARES)
    draw = painter(episode, shard.shift)
    demo = demonstrate(episode, rng, noise=0.1)
    sheet.act(episode, demo, draw, rng)
    image = sheet.add(draw(demo.final, "third"))
    others = look_alikes(demo.final, episode.task, rng) if rng.random() < 0.5 else []
    sheet.judge(image, demo.final, [episode.task, *others])
    sheet.ask(image, demo.final, episode.room, "third", rng, 1)
    if rng.random() < 0.25:
        state = scramble(episode.state, rng)
        sheet.ask(sheet.add(draw(state, "third")), state, episode.room, "third", rng, 3)


def _practising(sheet: _Sheet, seed: int, shard: Shard, rng: random.Random) -> None:
    episode = draw_episode(seed, shard.domain, rule_shares=EVEN_SHARES)
    draw = painter(episode, shard.shift)
    if rng.random() < 0.3:
        sheet.act(episode, demonstrate(episode, rng, noise=0.1), draw, rng)
    state, view = scramble(episode.state, rng), rng.choices(("third", "first"), (4, 1))[0]
    image = sheet.add(draw(state, view))
    sheet.rows += [Row(image, *question) for question in ask_places(picture(state, episode.room, view), rng, 2)]
    sheet.ask(image, state, episode.room, view, rng, 1)


def gather(shards: Sequence[Shard], workers: int) -> Corpus:
    """Makes all shards with `workers` processes (in this process if there is one worker) and joins them in order."""
    if workers == 1:
        return join([make_shard(shard) for shard in shards])
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return join(list(pool.map(make_shard, shards)))


def join(parts: Sequence[Corpus]) -> Corpus:
    """Joins corpora into one; its digest is the digest of their digests in order."""
    rows: list[Row] = []
    first = 0
    for part in parts:
        rows += [row._replace(image=row.image + first) for row in part.rows]
        first += len(part.images)
    digest = hashlib.sha256("\n".join(part.digest for part in parts).encode()).hexdigest()
    return Corpus(np.concatenate([part.images for part in parts]), rows, digest)


def shards(stage: StageName, seed: int, images: int, domain: Domain = "source", shift: float = 0.0) -> list[Shard]:
    """Shards of a household that hold at least `images` pictures."""
    count = -(-images // SHARD_IMAGES)
    return [Shard(stage=stage, seed=seed, index=i, domain=domain, shift=shift) for i in range(count)]

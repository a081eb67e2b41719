"""Settings of the services that play, judge and measure."""

from typing import Annotated, Literal

from msgspec import Meta

from runtime.typed import doc
from services.settings.base import Phrasing, Positive, Rate, Samples, Section

# The formatter would give each argument of a type a line of its own.
# fmt: off


class Simulator(Section, frozen=True, kw_only=True):
    """Collection: how many episodes are played, and how."""

    quota: Annotated[int, Meta(ge=1, le=10_000), doc(
        "Trajectories of a round, of all simulator processes together."
    )] = 300
    episodes: Annotated[Positive, doc(
        "Episodes played at the same time, by all simulator processes together. AI2-THOR and VirtualHome's Unity mode "
        "run a Unity player for each of them."
    )] = 48
    instances: Annotated[int, Meta(ge=1, le=64), doc(
        "Number of simulator processes. They share simulator.quota and simulator.episodes, of which each needs at "
        "least one. The same episodes are played whatever the number."
    )] = 1
    max_steps: Annotated[int, Meta(ge=1, le=200), doc(
        "Most actions of an episode, in collection and in evaluation. A lower world.options.max_steps ends episodes "
        "earlier."
    )] = 10
    max_staleness: Annotated[int, Meta(ge=0, le=8), doc(
        "Age in actor versions up to which a trajectory is learned from: 1 also takes trajectories of the version "
        "before the newest. Simulators may play as many rounds ahead, and actor and critic keep as many further "
        "adapters loaded. 0 collects and trains in turn, as in the paper."
    )] = 0
    temperature: Annotated[float, Meta(ge=0, le=2), doc(
        "Sampling temperature of the actor in collection. 0 takes the most likely answer. Evaluation does not use it."
    )] = 1.0
    step_seconds: Annotated[Rate, doc(
        "Longest time for one call into a world that runs inside the simulator or evaluator process: the household, "
        "and VirtualHome's graph mode. A world that takes longer counts as failed. The other worlds have deadlines "
        "among their options.", unit="seconds"
    )] = 30.0
    restarts: Annotated[int, Meta(ge=0, le=1000), doc(
        "How many times in a row a failing world is started again before it is given up. An episode that is played to "
        "its end sets the count back. A simulator whose worlds are all given up ends the run with an error."
    )] = 5
    refine: Annotated[int, Meta(ge=0, le=200), doc(
        'How many times in an episode of collection the action "done" may be replaced by another one, where the base '
        "model's answer about the object's state contradicts it (Self-Refine). 0 leaves every \"done\" as it is."
    )] = 0


class Actor(Section, frozen=True, kw_only=True):
    """How the actor chooses actions in collection."""

    samples: Annotated[Samples, doc(
        "Answers sampled for each action of collection, of which the most common is taken (self-consistency). 1 "
        "samples one answer. Where simulator.temperature is 0, several are sampled at temperature 1."
    )] = 1


class Critic(Section, frozen=True, kw_only=True):
    """How the critic judges trajectories, and how it questions its own verdicts (self-asking)."""

    self_ask: Annotated[Literal["off", "paper", "confirm"], doc(
        'When the critic questions its verdict by asking about the state of the object: "off" never, "paper" after a '
        'no, "confirm" after every verdict. The answers then decide.'
    )] = "confirm"
    questions: Annotated[Literal[1, 2], doc(
        'Questions for each verdict that is questioned. 1 asks about the object\'s state ("Is the fridge open?"); 2 '
        'also asks the other way around ("Which object is open?"), so that the two answers check each other.'
    )] = 2
    findings: Annotated[bool, doc(
        "Whether the critic also asks about the other instructions that the trajectory's own actions would fulfil. The "
        'answers, yes or no, become rows of the critic\'s training set. No effect with critic.self_ask = "off".'
    )] = True
    asker: Annotated[Literal["base", "critic"], doc(
        'Model that answers the critic\'s questions: "base" the frozen base model, "critic" the critic version that '
        "gave the verdict."
    )] = "base"
    samples: Annotated[Samples, doc(
        "Answers sampled at temperature 1 for each first verdict, of which the most common is taken "
        "(self-consistency). 1 takes the more likely of yes and no, without sampling."
    )] = 1
    phrasing: Annotated[Phrasing, doc(
        'Wording of the questions about objects. "plain" is the wording that the micro models were trained with; the '
        "others are paraphrases."
    )] = "plain"
    in_flight: Annotated[Positive, doc(
        "Trajectories that a critic process judges at the same time. After the last round it is also the number of "
        "frames that the evaluator has judged at the same time."
    )] = 32


class Relabeler(Section, frozen=True, kw_only=True):
    """Hindsight: which instruction a failed trajectory fulfilled instead of its own."""

    enabled: Annotated[bool, doc(
        "Whether failed trajectories are given the instruction that they fulfilled (hindsight relabelling). false "
        "relabels none."
    )] = True
    verbs: Annotated[Literal["own", "any"], doc(
        'Verbs of the instructions that are looked for: "own" the verb of the failed instruction, as in the paper, '
        '"any" every verb.'
    )] = "any"
    trace: Annotated[bool, doc(
        'Whether the new instruction must match an action of the trajectory: "open the fridge" then needs the action '
        '"open fridge". false takes any object that the model names. Instructions with "put" are always matched.'
    )] = True
    asker: Annotated[Literal["base", "critic"], doc(
        'Model that answers the relabeler\'s questions: "base" the frozen base model, "critic" the critic version that '
        "gave the verdict."
    )] = "base"
    phrasing: Annotated[Phrasing, doc(
        'Wording of the questions about objects. "plain" is the wording that the micro models were trained with; the '
        "others are paraphrases."
    )] = "plain"
    in_flight: Annotated[Positive, doc(
        "Verdicts that a relabeler process works on at the same time."
    )] = 32


class Evaluator(Section, frozen=True, kw_only=True):
    """Measurement of every adapter version and of the base model on episodes that nobody trains on."""

    enabled: Annotated[bool, doc(
        "Whether an evaluator measures the base model and every adapter version. false runs without measurements."
    )] = True
    split: Annotated[Literal["dev", "heldout"], doc(
        'Split of episodes that is measured on: "dev" for choosing settings, "heldout" for reporting results.'
    )] = "heldout"
    tasks: Annotated[Positive, doc(
        "Episodes that measure each actor version."
    )] = 200
    judgements: Annotated[Positive, doc(
        "Size of the judgement set: the last frames, of episodes acted by the base model, that measure each critic "
        "version."
    )] = 300
    judgement_sets: Annotated[str, doc(
        "Folder of judgement sets that several runs share. The first run with the same base model, world, split, size "
        "and simulator.max_steps leaves its set there, and the others are measured on it. Empty: every run collects a "
        "set of its own."
    )] = ""
    samples: Annotated[Samples, doc(
        "Answers sampled at temperature 1 for each action and each judgement, of which the most common is taken "
        "(self-consistency). 1 takes the most likely answer, without sampling."
    )] = 1
    refine: Annotated[int, Meta(ge=0, le=200), doc(
        'How many times in an episode of evaluation the action "done" may be replaced by another one, where the critic '
        'that was in use beside this actor sees no success (Self-Refine). 0 leaves every "done" as it is.'
    )] = 0
    episodes: Annotated[Positive, doc(
        "Episodes that the evaluator plays at the same time after the last round; before, it plays at most 4. AI2-THOR "
        "and VirtualHome's Unity mode run a Unity player for each of them."
    )] = 24

"""Settings of training: which rows adapters learn from, how, and when an adapter or a round is not good enough."""

from typing import Annotated, Literal

from msgspec import Meta

from runtime.typed import doc
from services.settings.base import Positive, Rate, Section, Share

# The formatter would give each argument of a type a line of its own.
# fmt: off


class Lora(Section, frozen=True, kw_only=True):
    """LoRA training of one role, on the language layers of the base model."""

    rank: Annotated[Literal[8, 16, 32, 64, 128], doc(
        "Rank of the adapter's matrices (r)."
    )] = 16
    alpha: Annotated[Positive, doc(
        "Scale of the adapter: its output is multiplied by alpha / rank."
    )] = 32
    learning_rate: Annotated[Rate, doc(
        "Highest learning rate of AdamW. The rate rises within the first 10 steps and falls linearly to 0."
    )] = 2e-3
    epochs: Annotated[Rate, doc(
        "Passes over the training set. A fraction is part of a pass: 0.5 trains on about half of the rows."
    )] = 3
    dropout: Annotated[float, Meta(ge=0, lt=1), doc(
        "LoRA dropout: fraction of every adapted layer's input that is set to zero at random in training."
    )] = 0.0
    batch: Annotated[Positive, doc(
        "Rows of an optimizer step."
    )] = 32
    max_rows: Annotated[Positive, doc(
        "Most rows that are taken from all rounds for a training, before any are left out or repeated for balance. "
        "Rows of the oldest rounds go first, so that the cost of a round stays bounded."
    )] = 4000


class Trainer(Section, frozen=True, kw_only=True):
    """How the training sets of critic and actor are built from a round's trajectories, and what is trained on them."""

    learner: Annotated[Literal["auto", "peft", "scripted"], doc(
        'What trains: "peft" trains LoRA adapters, "scripted" writes adapters for the scripted engine, for tests. '
        '"auto" is scripted with that engine, else peft.'
    )] = "auto"
    threads: Annotated[int, Meta(ge=0, le=256), doc(
        "CPU threads of training. 0 leaves the number to PyTorch."
    )] = 2
    relabels: Annotated[Literal["off", "critic", "direct", "pruned", "all"], doc(
        'Who learns from relabelled trajectories: "off" nobody; "critic" the critic; "direct" the actor too, where the '
        'first action already concerns the new object; "pruned" the actor too, from the first action on that concerns '
        'the new object; "all" the actor too, from the first action on, as in the paper. The actor learns from a '
        "relabelled trajectory only where the newly trained critic, if there is one, agrees."
    )] = "direct"
    drop: Annotated[float, Meta(ge=0, lt=1), doc(
        "Fraction of the verdicts, and of the answers of critic.findings, that stay out of the critic's training set: "
        "the least confident ones, of yes and of no each. Where there are fewer than 10 none is left out. 0 uses all."
    )] = 0.25
    prune: Annotated[bool, doc(
        "Whether actions that the world refused stay out of the actor's training set."
    )] = True
    rare: Annotated[Positive, doc(
        "Most times that a row of the actor's training set is used, where its verb has fewer rows than the median "
        "verb. 1 repeats none."
    )] = 3
    accept: Annotated[Literal["critic", "agree", "all"], doc(
        'Trajectories that the actor learns from under their own instruction: "critic" those that the newly trained '
        'critic calls a success, as in the paper; "agree" those that this critic and the first verdict call a success; '
        '"all" every one. Without a new critic the first verdict decides for "critic" and "agree", and with '
        'critic.self_ask = "off" "agree" is the same as "critic".'
    )] = "agree"
    shared: Annotated[bool, doc(
        "Whether actor and critic have one adapter, trained once a round on both training sets with the settings of "
        "trainer.critic. The first verdicts then choose what the actor learns from."
    )] = False
    cut: Annotated[bool, doc(
        "Whether a relabelled trajectory ends for the actor at the action that fulfilled the new instruction, followed "
        'by "done". false uses all of it.'
    )] = True
    balance: Annotated[bool, doc(
        "Whether the critic's training set has about as many yes as no: rows of the more frequent answer are left out "
        "at random."
    )] = True
    negatives: Annotated[bool, doc(
        "Whether a relabelled trajectory also gives the critic a no for another object: a robot that holds the apple "
        "does not hold the mug. Only for the verbs pick up and sit on."
    )] = True
    replay: Annotated[bool, doc(
        "Whether training also uses the rows of earlier rounds, up to max_rows. false uses the current round's only."
    )] = True
    continue_from: Annotated[Literal["parent", "base"], doc(
        'What each training starts from: "parent" the adapter that is in use, "base" the base model.'
    )] = "parent"
    actor: Annotated[Lora, doc(
        "LoRA training of the actor, on the language layers of the base model."
    )] = Lora(learning_rate=2e-3, epochs=3)
    critic: Annotated[Lora, doc(
        "LoRA training of the critic, on the language layers of the base model."
    )] = Lora(learning_rate=3e-3, epochs=8, dropout=0.2)
    min_rows: Annotated[Positive, doc(
        "Fewest rows that are worth a training. With fewer the adapter in use stays."
    )] = 8
    collapse: Annotated[Share, doc(
        "Largest fraction of equal answers that a new adapter may give to a sample of its training rows, where the "
        "rows themselves have fewer equal answers. Above it the adapter is refused. 1: never."
    )] = 0.98
    holdback: Annotated[float, Meta(ge=0, lt=1), doc(
        "Fraction of the trajectories whose verdicts stay out of every critic's training set, so that new critics can "
        "be tested on them (trainer.critic_margin). 0 tests none."
    )] = 0.1
    critic_margin: Annotated[Share, doc(
        "Loss of agreement for which a new critic is withdrawn: on the verdicts of trainer.holdback it agrees with the "
        "self-asked answers less often than the critic before it, by more than this fraction and beyond chance "
        "(one-sided sign test, 10%). 1: never."
    )] = 0.15
    actor_margin: Annotated[Share, doc(
        "Loss of success for which an actor is withdrawn: the frozen base model's answers see success in fewer of its "
        "trajectories than of the actor before it, by more than this fraction beyond the 95% interval. It needs "
        'critic.self_ask = "confirm" and critic.asker = "base". 1: never.'
    )] = 0.05


class Alarms(Section, frozen=True, kw_only=True):
    """When the topic faults warns that a round's self-feedback looks unhealthy; docs/FEEDBACK.md gives the reasons."""

    all_yes: Annotated[Share, doc(
        "Fraction of yes among a round's judgements, or its verdicts after asking, above which a warning says that the "
        "critic says yes to nearly everything. The whole 95% interval must lie above it. 1: never."
    )] = 0.9
    all_no: Annotated[Share, doc(
        "Fraction of yes among a round's judgements, or its verdicts after asking, below which a warning says that the "
        "critic says no to nearly everything. The whole 95% interval must lie below it. 0: never."
    )] = 0.1
    agreement: Annotated[Share, doc(
        "Fraction of the round's verdicts that the newly trained critic must repeat; a warning says if it repeats "
        "fewer. The whole 95% interval must lie below it. 0: never."
    )] = 0.6
    few_rows: Annotated[int, Meta(ge=0), doc(
        "Rows of each answer in the critic's training set, and of each of the round's verbs in the actor's, below "
        "which a warning says that there is too little to learn from. 0: never."
    )] = 10
    plateau_turned: Annotated[Share, doc(
        "Fraction of the questioned verdicts that the answers turned: a warning speaks of a plateau where it is at "
        "most this and alarms.plateau_agreement and alarms.plateau_gain hold too, and self-judged success is below "
        "alarms.all_yes."
    )] = 0.05
    plateau_agreement: Annotated[Share, doc(
        "Fraction of the round's verdicts that the newly trained critic repeats: a plateau needs at least this."
    )] = 0.95
    plateau_gain: Annotated[Share, doc(
        "Gain in self-judged success since the round before, as a fraction of the trajectories: a plateau needs less "
        "than this."
    )] = 0.02

"""Everything a person can set, in one place: one struct a section of the TOML profile, defaults being the household's.

`runtime.settings` reads files and ``--set`` into these and says clearly what is wrong. No heavy import here.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Positive = Annotated[int, Meta(ge=1)]
Rate = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Samples = Annotated[int, Meta(ge=1, le=64)]
Phrasing = Literal["plain", "now", "picture", "look", "statement", "see"]
"""The wordings of `services.worlds.phrasings`."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all sections: a key nobody reads is an error, never ignored."""


class Run(Section, frozen=True, kw_only=True):
    """``seed`` fixes every episode, sample and shuffle of the run; ``rounds`` is how often the model learns."""

    seed: Annotated[int, Meta(ge=0, le=800)] = 0
    rounds: Annotated[int, Meta(ge=0, le=900)] = 2


class Seeds(Section, frozen=True, kw_only=True):
    """The first episode seed of each split. Splits may not reach into one another; each run and round has training
    seeds of its own, so that training's reach furthest. Episodes 300,000,000 and 400,000,000 on were held out for the
    first base models; after what they showed about those, new ones take their place."""

    dev: Annotated[int, Meta(ge=0)] = 100_000_000
    dev_judge: Annotated[int, Meta(ge=0)] = 200_000_000
    heldout: Annotated[int, Meta(ge=0)] = 500_000_000
    heldout_judge: Annotated[int, Meta(ge=0)] = 600_000_000
    train: Annotated[int, Meta(ge=0)] = 1_000_000_000


class World(Section, frozen=True, kw_only=True):
    """``name`` picks the world; ``options`` are its own (see its folder), checked by it when it is made."""

    name: Literal["household", "ai2thor", "virtualhome"] = "household"
    options: dict[str, str | int | float | bool] = {}
    seeds: Seeds = Seeds()

    def table_type(self, field: str) -> type[msgspec.Struct] | None:
        """What the world's options take."""
        from services.worlds.load import options_type  # which needs these settings

        return options_type(self.name) if field == "options" else None


class Model(Section, frozen=True, kw_only=True):
    """The base model and the engine that serves it.

    ``engine`` "auto" is vllm where it is installed, else transformers. ``path`` is a folder in Hugging Face layout;
    empty means the micro model in this package. ``threads`` bounds each engine's CPU threads; 0 leaves it alone.
    ``cache_gib`` is each engine's key-value cache. ``url`` is the server of the engine "openai": on this machine, or
    https with a key in the environment as SELU_MODEL_KEY; ``trust_network`` allows any, for a network that is yours.
    """

    engine: Literal["auto", "vllm", "openai", "transformers", "scripted"] = "auto"
    path: str = ""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Meta(ge=0, le=256)] = 1
    max_in_flight: Positive = 64
    max_model_len: Positive = 256
    cache_gib: Rate = 0.5
    gpu_memory: Share = 0.4
    url: str = ""
    trust_network: bool = False


class Simulator(Section, frozen=True, kw_only=True):
    """``quota`` trajectories a round, ``episodes`` at once, both shared among ``instances`` processes; what is played
    does not depend on their number. ``max_staleness`` is how many actor versions old a trajectory may be when it is
    learned from (0: the paper's sequential loop). ``step_seconds`` bounds a call into a
    world of the simulator's own process; ``restarts`` is how often a failing world is started again before it is given
    up, counted since it last brought an episode to its end. ``refine``: how often in an episode a "done" becomes
    another action, because the base model's answer about the object's state contradicts it."""

    quota: Annotated[int, Meta(ge=1, le=10_000)] = 300
    episodes: Positive = 48
    instances: Annotated[int, Meta(ge=1, le=64)] = 1
    max_steps: Annotated[int, Meta(ge=1, le=200)] = 10
    max_staleness: Annotated[int, Meta(ge=0, le=8)] = 0
    temperature: Annotated[float, Meta(ge=0, le=2)] = 1.0
    step_seconds: Rate = 30.0
    restarts: Annotated[int, Meta(ge=0, le=1000)] = 5
    refine: Annotated[int, Meta(ge=0, le=200)] = 0


class Actor(Section, frozen=True, kw_only=True):
    """``samples``: how many answers a step of collecting are sampled, of which the commonest is taken."""

    samples: Samples = 1


class Critic(Section, frozen=True, kw_only=True):
    """``self_ask``: "off"; "paper" questions only a no; "confirm" questions every verdict and follows the answer.

    ``questions``: how many it asks itself, one about the object's state, or two that check each other.
    ``findings``: whether it also asks about the other instructions that the trajectory's own actions carry out, if it
    asks at all; what it finds, true or not, teaches the critic.
    ``asker``: who answers questions about object states, the frozen base model or the newest critic.
    ``samples``: how many first verdicts are sampled, of which the commonest is taken; 1 takes the likelier answer.
    ``phrasing``: the wording of the questions.
    """

    self_ask: Literal["off", "paper", "confirm"] = "confirm"
    questions: Literal[1, 2] = 2
    findings: bool = True
    asker: Literal["base", "critic"] = "base"
    samples: Samples = 1
    phrasing: Phrasing = "plain"
    in_flight: Positive = 32


class Relabeler(Section, frozen=True, kw_only=True):
    """``verbs``: which verbs hindsight tries, "own" the instruction's as in the paper, "any" every verb.

    ``trace``: a relabel must be named by one of the trajectory's own actions. ``phrasing``: the questions' wording.
    """

    enabled: bool = True
    verbs: Literal["own", "any"] = "any"
    trace: bool = True
    asker: Literal["base", "critic"] = "base"
    phrasing: Phrasing = "plain"
    in_flight: Positive = 32


class Lora(Section, frozen=True, kw_only=True):
    """LoRA on the language layers. ``dropout``: the share of every adapted layer's input that is left out at random in
    training. ``max_rows`` caps the accumulated set, newest rounds first, so that a round's cost stays flat."""

    rank: Literal[8, 16, 32, 64, 128] = 16
    alpha: Positive = 32
    learning_rate: Rate = 2e-3
    epochs: Rate = 3
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    batch: Positive = 32
    max_rows: Positive = 4000


class Trainer(Section, frozen=True, kw_only=True):
    """How D_c and D_a are built and trained on.

    ``relabels``: where hindsight's trajectories go: "off"; "critic": D_c only; "direct": into D_a too, where the first
    action already concerns the new object; "pruned": into D_a from the first action on that concerns it; "all": the
    paper's.
    ``drop``: the share of verdicts, of each answer the least confident, that stays out of D_c.
    ``prune``: actions that the world refused stay out of D_a.
    ``rare``: in D_a the steps of verbs with few of them count up to so many times.
    ``accept``: which trajectories enter D_a: those the tuned critic calls a success ("critic", the paper's), or those
    on which it and the first, self-asked verdict agree ("agree"), or "all" whatever any verdict says.
    ``shared``: one adapter for both roles, trained once a round on D_c and D_a together with the critic's settings; the
    first verdicts then choose D_a, as there is no tuned critic before it.
    ``cut``: a relabelled trajectory ends where its goal was reached. ``balance``: as many yes as no in D_c.
    ``negatives``: an answer that excludes a like object also makes a "no" for that object.
    ``continue_from``: each round trains the last promoted adapter further ("parent") or starts from the "base".
    ``holdback``: the share of trajectories on whose verdicts no critic is trained, so that it can be tried on them.
    ``critic_margin``: a tuned critic is withdrawn where it agrees with the self-asked answers on these less often than
    the critic before it, by more than this and hardly by chance (1: never).
    ``actor_margin``: an actor is withdrawn where the success that the frozen base model's answers see lies below that
    of the actor before it, by more than this and beyond the 95% interval (1: never). docs/FEEDBACK.md has both.
    """

    learner: Literal["auto", "peft", "scripted"] = "auto"
    threads: Annotated[int, Meta(ge=0, le=256)] = 2
    relabels: Literal["off", "critic", "direct", "pruned", "all"] = "direct"
    drop: Annotated[float, Meta(ge=0, lt=1)] = 0.25
    prune: bool = True
    rare: Positive = 3
    accept: Literal["critic", "agree", "all"] = "agree"
    shared: bool = False
    cut: bool = True
    balance: bool = True
    negatives: bool = True
    replay: bool = True
    continue_from: Literal["parent", "base"] = "parent"
    actor: Lora = Lora(learning_rate=2e-3, epochs=3)
    critic: Lora = Lora(learning_rate=3e-3, epochs=8, dropout=0.2)
    min_rows: Positive = 8
    collapse: Share = 0.98
    holdback: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    critic_margin: Share = 0.15
    actor_margin: Share = 0.05


class Alarms(Section, frozen=True, kw_only=True):
    """From when on a round's self-feedback is called unhealthy, on ``faults``. docs/FEEDBACK.md gives the reasons.

    ``all_yes``, ``all_no``: the share of yes above and below which the critic tells nothing apart.
    ``agreement``: how much of the round's verdicts a tuned critic must at least repeat.
    ``few_rows``: of each answer in D_c, and of each of the round's verbs in D_a (0: never).
    ``plateau_turned``, ``plateau_agreement``, ``plateau_gain``: no more verdicts turned by asking, at least as much
    repeated by the tuned critic, and less gained in self-judged success than this.
    """

    all_yes: Share = 0.9
    all_no: Share = 0.1
    agreement: Share = 0.6
    few_rows: Annotated[int, Meta(ge=0)] = 10
    plateau_turned: Share = 0.05
    plateau_agreement: Share = 0.95
    plateau_gain: Share = 0.02


class Evaluator(Section, frozen=True, kw_only=True):
    """Held-out measurement. ``split`` "heldout" is for reporting, "dev" for choosing settings.

    ``samples``: how many answers are sampled for each act and each verdict, of which the commonest counts; 1 takes the
    likeliest. ``refine``: how often in an episode an actor that says "done" while its critic sees no success tries
    another action. ``judgement_sets``: a folder that runs share, in which the first leaves its judgement set for all
    that have the same base model, world and split; empty is a set of the run's own.
    """

    enabled: bool = True
    split: Literal["dev", "heldout"] = "heldout"
    tasks: Positive = 200
    judgements: Positive = 300
    judgement_sets: str = ""
    samples: Samples = 1
    refine: Annotated[int, Meta(ge=0, le=200)] = 0
    episodes: Positive = 24


class Mesh(Section, frozen=True, kw_only=True):
    """``endpoint`` empty means ipc in a private folder, else tcp://HOST:PORT; one that other machines reach needs
    ``keys``, a folder made by `selu keys make`. With it everything is encrypted. Times in seconds."""

    endpoint: str = ""
    keys: str = ""
    call_seconds: Rate = 120.0
    heartbeat_seconds: Rate = 0.5
    session_seconds: Rate = 5.0
    grace_seconds: Rate = 5.0
    restarts: Annotated[int, Meta(ge=0, le=100)] = 5


class Retention(Section, frozen=True, kw_only=True):
    """What is let go while the run goes on: frames of old rounds. Messages, datasets and adapters are always kept.

    ``rounds``: the frames of so many closed rounds are kept (0: of all); ``gib``: so many GiB of frames (0: no bound),
    the oldest rounds' going first. What a consumer group has not acknowledged, a training to come looks at or a
    measurement is made on stays in any case. docs/OPERATIONS.md has the whole policy.
    """

    rounds: Annotated[int, Meta(ge=0)] = 0
    gib: Annotated[float, Meta(ge=0)] = 0.0


class Metrics(Section, frozen=True, kw_only=True):
    """Where ``/healthz`` and ``/metrics`` (Prometheus) answer over HTTP; port 0 is nowhere.

    ``host`` other than this machine's own needs ``token_file``, a file that only its owner may read, whose token every
    request must bear (``Authorization: Bearer ...``).
    """

    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    host: str = "127.0.0.1"
    token_file: str = ""


class Settings(Section, frozen=True, kw_only=True):
    run: Run = Run()
    world: World = World()
    model: Model = Model()
    simulator: Simulator = Simulator()
    actor: Actor = Actor()
    critic: Critic = Critic()
    relabeler: Relabeler = Relabeler()
    trainer: Trainer = Trainer()
    alarms: Alarms = Alarms()
    evaluator: Evaluator = Evaluator()
    mesh: Mesh = Mesh()
    retention: Retention = Retention()
    metrics: Metrics = Metrics()

"""Settings of what is learned: the run, its world and its base model."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from runtime.typed import doc
from services.settings.base import Positive, Rate, Section, Share

# The formatter would give each argument of a type a line of its own.
# fmt: off


class Run(Section, frozen=True, kw_only=True):
    """The run as a whole: how long it learns, and from which random numbers."""

    seed: Annotated[int, Meta(ge=0, le=800), doc(
        "Random seed of the run. It determines the training episodes, the actor's sampling in them, and the initial "
        "weights and the order of rows in training. Evaluation plays the same episodes for every seed."
    )] = 0
    rounds: Annotated[int, Meta(ge=0, le=900), doc(
        "Number of rounds. Each round collects trajectories, then trains the critic, then the actor. 0 trains nothing "
        "and evaluates the base model only."
    )] = 2


class Seeds(Section, frozen=True, kw_only=True):
    """First episode seed of each split; a split ends where the next higher one starts, and a run that would reach
    beyond that is refused."""

    # Seeds from 300,000,000 and 400,000,000 on were the held-out splits of the first base models. These were changed
    # after results on those splits were known, so that other seeds are held out now.
    dev: Annotated[int, Meta(ge=0), doc(
        'First episode seed of the development split: the episodes that measure the actor with evaluator.split = "dev".'
    )] = 100_000_000
    dev_judge: Annotated[int, Meta(ge=0), doc(
        "First episode seed of the development split's judgement set: the episodes whose last frames measure the "
        "critic."
    )] = 200_000_000
    heldout: Annotated[int, Meta(ge=0), doc(
        "First episode seed of the held-out split: the episodes that measure the actor with evaluator.split = "
        '"heldout".'
    )] = 500_000_000
    heldout_judge: Annotated[int, Meta(ge=0), doc(
        "First episode seed of the held-out split's judgement set: the episodes whose last frames measure the critic."
    )] = 600_000_000
    train: Annotated[int, Meta(ge=0), doc(
        "First episode seed of training. Round R of the run with seed S plays the episodes from train + 10,000,000 S + "
        "10,000 R on."
    )] = 1_000_000_000


class World(Section, frozen=True, kw_only=True):
    """The world: which one is played, its options and its episode seeds."""

    name: Annotated[Literal["household", "ai2thor", "virtualhome"], doc(
        'World that the episodes are played in. "household" is built in; "ai2thor" and "virtualhome" need packages of '
        "these names."
    )] = "household"
    options: Annotated[dict[str, str | int | float | bool], doc(
        "Options of the world, by name. Each world has its own; docs/SETTINGS.md lists them."
    )] = msgspec.field(default_factory=dict)
    seeds: Seeds = Seeds()

    def table_type(self, field: str) -> type[msgspec.Struct] | None:
        """What the world's options take."""
        from services.worlds.load import options_type  # which needs these settings

        return options_type(self.name) if field == "options" else None


class Model(Section, frozen=True, kw_only=True):
    """The base model and the engines that serve it: the actor and the critic have an engine each."""

    engine: Annotated[Literal["auto", "vllm", "openai", "transformers", "scripted"], doc(
        'Engine that serves the base model and its LoRA adapters. "auto" is "vllm" where vLLM is installed, else '
        '"transformers"; "openai" uses the OpenAI-compatible server at model.url; "scripted" answers by rules without '
        "a model, for tests."
    )] = "auto"
    path: Annotated[str, doc(
        "Folder of the base model in Hugging Face layout, or the name of a model in this package (micro, micro-seed1). "
        'Empty: the micro model. With the engine "openai" it is the model that is trained, and must be the one that '
        "the server serves."
    )] = ""
    device: Annotated[Literal["auto", "cpu", "cuda"], doc(
        'Device of the transformers engine and of training; "auto" takes a GPU where there is one. vLLM runs on the '
        'device that its installed build is for, and any other value than that device or "auto" is refused.'
    )] = "auto"
    threads: Annotated[int, Meta(ge=0, le=256), doc(
        "CPU threads of each engine (vLLM and transformers). 0 leaves the number to the engine."
    )] = 1
    max_in_flight: Annotated[Positive, doc(
        "Requests that each engine works on at once: vLLM's max_num_seqs, the largest batch of the transformers "
        "engine, the open requests to a server."
    )] = 64
    max_model_len: Annotated[Positive, doc(
        "Longest request with its answer, a frame's tokens included: vLLM's max_model_len. A run whose frames and "
        "prompts need more is refused before it starts. Unless --set gives it, a model that takes fewer tokens lowers "
        'it. The engine "openai" has its server\'s length instead.', unit="tokens"
    )] = 256
    cache_gib: Annotated[Rate, doc(
        "Key-value cache of each vLLM engine on a CPU. On a GPU model.gpu_memory bounds it; other engines ignore it.",
        unit="GiB",
    )] = 0.5
    gpu_memory: Annotated[Share, doc(
        "Fraction of a GPU's memory that each vLLM engine may take for weights and key-value cache: vLLM's "
        "gpu_memory_utilization. The engines of actor and critic take it once each, and training needs the rest. "
        "Ignored on a CPU and by other engines."
    )] = 0.4
    url: Annotated[str, doc(
        'Address of the server for the engine "openai", without a route: for example http://127.0.0.1:8000. A server '
        "on another machine needs https and a key in the environment variable SELU_MODEL_KEY. Empty: none."
    )] = ""
    trust_network: Annotated[bool, doc(
        "Whether model.url may name another machine without https and without a key. Only for a network in which "
        "nobody else can read or answer the requests."
    )] = False

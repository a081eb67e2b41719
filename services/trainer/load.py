"""Creates the learner that the settings name. A learner's module is imported only if it is chosen."""

import importlib.util

from services.models.engine import EngineError
from services.models.examine import check_model
from services.settings import Settings
from services.trainer.learner import Learner


def load_learner(settings: Settings) -> Learner:
    """Returns the learner of ``trainer.learner``. "auto" means "scripted" for the scripted engine, else "peft".

    Raises EngineError if the base model or the peft package is missing.
    """
    name = settings.trainer.learner
    if name == "auto":
        name = "scripted" if settings.model.engine == "scripted" else "peft"
    if name == "scripted":
        from services.trainer.scripted import ScriptedLearner

        return ScriptedLearner()
    if importlib.util.find_spec("peft") is None:
        raise EngineError("trainer.learner is 'peft', which is not installed; install selu[cpu] or selu[gpu]")
    check_model(settings.model, "openai")  # training needs no serving engine, so no requirement of one is checked
    from services.trainer.lora import PeftLearner

    return PeftLearner(settings.model, threads=settings.trainer.threads)

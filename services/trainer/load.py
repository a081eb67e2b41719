"""Makes the learner that the settings name. Learners are imported only when chosen."""

import importlib.util

from services.models.engine import EngineError
from services.models.examine import check_model
from services.settings import Settings
from services.trainer.learner import Learner


def load_learner(settings: Settings) -> Learner:
    """The learner of ``trainer.learner``: "auto" is scripted for scripted engines, else peft.

    Raises EngineError where the base model or peft is missing.
    """
    name = settings.trainer.learner
    if name == "auto":
        name = "scripted" if settings.model.engine == "scripted" else "peft"
    if name == "scripted":
        from services.trainer.scripted import ScriptedLearner

        return ScriptedLearner()
    if importlib.util.find_spec("peft") is None:
        raise EngineError("trainer.learner is 'peft', which is not installed; install selu[cpu] or selu[gpu]")
    check_model(settings.model, "openai")  # however it is served, here it is only trained
    from services.trainer.lora import PeftLearner

    return PeftLearner(settings.model, threads=settings.trainer.threads)

"""The verbs of instructions and the object states that they bring about; critic and relabeler ask about these states.

A `Verb` describes language, not a world's rules: the phrase of an instruction, and the question about the picture that
tells whether it was carried out (paper section 4.2: "what is the agent holding?", "is X open?").
"""

import msgspec


class Verb(msgspec.Struct, frozen=True, kw_only=True):
    """``phrase`` starts the instruction. The goal is described by ``state`` (an adjective that the object then has)
    or by ``which`` (a question whose answer is the object); if both are None, by the answer to "Where is the X?"."""

    name: str
    phrase: str
    state: str | None = None
    which: str | None = None

    @property
    def placed(self) -> bool:
        return self.state is None and self.which is None


VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(name="pick", phrase="pick up", which="Which object is the robot holding?"),
        Verb(name="put", phrase="put"),
        Verb(name="open", phrase="open", state="open"),
        Verb(name="close", phrase="close", state="closed"),
        Verb(name="break", phrase="break", state="broken"),
        Verb(name="slice", phrase="slice", state="sliced"),
        Verb(name="toggle", phrase="turn on", state="on"),
        Verb(name="fill", phrase="fill", state="filled"),
        Verb(name="empty", phrase="empty", state="empty"),
        Verb(name="clean", phrase="clean", state="clean"),
        Verb(name="dirty", phrase="dirty", state="dirty"),
        Verb(name="cook", phrase="cook", state="cooked"),
        Verb(name="use", phrase="use up", state="used up"),
        Verb(name="sit", phrase="sit on", which="What is the robot sitting on?"),
    )
}

"""AI2-THOR through its released client: Unity's rooms behind the household's language.

    options      what can be set, validated
    types        the object types that there are
    names        object types as lower-case words, and which object a text means
    actions      action texts, read; which THOR action each is, and which metadata flags allow it
    release      where the package keeps the players that it has fetched
    start        the client's Controller, started so that a dead or hanging player is noticed
    player       the life of one Unity player: steps, refusals, checks that an answer is its own
    navigation   "find X": interactable poses, else walking
    camera       the third-person view that keeps the agent and what it last acted on in the picture
    tasks        instructions from what a scene affords, task files, which goals hold
    simulator    all of it as a `services.worlds.world.World`, blocking, in a process of its own
    world        that process, as the mesh uses it

`ai2thor` itself is imported when a player is started and nowhere else.
"""

"""AI2-THOR through its released client: Unity's rooms with the household's action language.

    options      the world's options, validated
    types        the object types
    names        object types as lower-case words, and the object that a name refers to
    actions      parses action texts; the THOR action of each act, and the metadata flags that allow it
    release      the path of a player that the package has downloaded
    start        starts the client's Controller and detects a player that crashes or hangs
    player       one Unity player: steps, refusals, and checks that a reply belongs to this player
    navigation   "find X": teleports to interactable poses, or walks
    camera       the third-person view of the agent and the object that it last acted on
    tasks        instructions from a scene's affordances, task files, and goal checks
    simulator    implements `services.worlds.world.World`; blocking, runs in its own process
    world        starts that process for the mesh

`ai2thor` is imported only when a player is started.
"""

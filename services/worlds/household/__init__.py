"""The built-in household: rooms of furniture and small objects that a robot finds, opens, carries, breaks and slices.

    vocabulary  names, affordances and rooms
    rules       which preconditions hold: drawn per episode in the *source* domain, fixed in the *unknown* one
    actions     parses and formats action texts
    state       the state and its transitions: pure, and a refused action changes nothing
    tasks       tasks, goal checks, and episodes drawn from seeds
    expert      a scripted demonstrator and random acts, for source demonstrations and measurements
    scramble    arbitrary states, for source pictures
    options     the world's options, validated
    look        an episode's appearance: palette, proportions, camera, light; `shift` moves it away from the source's
    art/        drawing code: brush (anti-aliased, any size), food, things, storage, furniture, robot, room
    scene       composes the two views of a state, first-person and third-person
    world       implements `services.worlds.world.World`

Nothing here reads a clock, the network or global random state: a seed and the options give the same frames anywhere.
"""

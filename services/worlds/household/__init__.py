"""The embedded household: rooms of furniture and small objects that a robot finds, opens, carries, breaks and slices.

    vocabulary  names, affordances, rooms: what there is
    rules       which preconditions hold: drawn per episode in the *source* domain, fixed in the *unknown* one
    actions     action texts, read and written
    state       the state and its transitions: pure, and a refused action changes nothing
    tasks       tasks, whether they hold, and episodes drawn from seeds
    expert      a scripted demonstrator and random acts, for source demonstrations and measurements
    scramble    arbitrary states, for source pictures
    options     what can be set, validated
    look        how one episode looks: palette, proportions, camera, light; `shift` slides it away from the source's
    art/        brush: anti-aliased drawing at any size; food, things, storage, furniture, robot, room: what is drawn
    scene       composes the two views of a state, first-person and third-person
    world       all of it as a `services.worlds.world.World`

Nothing here reads a clock, the network or global random state: a seed and the options give the same frames anywhere.
"""

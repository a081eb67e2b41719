"""A player that stands in for AI2-THOR's, which is gigabytes and wants a GPU: the released client cannot tell.

    rooms    scenes: what is where, and in which state
    acts     what the player's actions do to a scene
    draw     frames that show what the metadata says
    wire     the client's protocols: named pipes and HTTP
    faults   what can go wrong on purpose
    command  how a test names it as an executable

Written from the client's code alone. Its refusals are its own words.
"""

"""What `scripts/soak` is made of: faults on purpose, and the checker that says what came of them.

checker    a log held against what was acknowledged, and every effect against its cause
proxy      a network that delays, cuts, tears, stops and forgets
disk       a disk that is full for some
launched   a real run, watched and hurt from outside
hubs       a hub that is killed and started again
storm      publishers and consumers around such a hub, behind such a network
rounds     whole runs under faults, held against one that nobody disturbed
"""

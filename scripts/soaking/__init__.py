"""The soak test `scripts/soak`: fault injection, and a checker of the results.

checker    compares the log with the acknowledged messages, and checks that every cause has its effect once
proxy      a TCP proxy that injects delays, resets, torn frames, partitions and half-open connections
disk       simulates a full disk for some processes
launched   starts a real run, and injects faults from outside
hubs       a hub process that is killed and restarted
storm      publishers and consumers against such a hub, through such a proxy
rounds     whole runs under faults, compared with a run without faults
"""

"""What `selu up` is made of: the plan, the checks before it, the processes, what is shown, and the end.

plan       which settings, which folder, which processes
preflight  what would fail later, found before anything starts
keys       a key for each process
run        the mesh from start to end
watch      what the launcher knows of the run while it goes
keeping    letting frames of old rounds go
figures    it as figures for machines that watch
pages      where they are served
lines      it in plain lines
screen     it on a terminal
ending     summary, report and the last table
"""

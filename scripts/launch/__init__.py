"""The launcher behind `selu up`: plan, checks, processes, display, and the end of a run.

plan       settings, run folder and processes of a run
preflight  checks before anything starts
keys       a key for each process
run        starts, supervises and ends the processes
watch      the launcher's state of the run, from events
keeping    deletes frames of old rounds while the run goes on
figures    metrics for Prometheus
pages      the HTTP server of /metrics and /healthz
lines      events and status as plain lines
screen     the display on a terminal
ending     summary, report and the final table
"""

"""Looking after a run folder, while its mesh runs or afterwards. docs/OPERATIONS.md says how to use it.

contents   what a log says of itself: a fold that finds what is wrong with its messages and which blobs they name
inspect    what is wrong with a run folder, and what to do
repair     what can be put right without losing anything
replay     the learning folded again and compared with what was recorded
retention  which frames nobody needs any more
sweep      letting go of them
"""

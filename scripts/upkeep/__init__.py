"""Maintenance of a run folder, during a run or afterwards. docs/OPERATIONS.md describes its use.

contents   folds a log: damaged messages, and the blobs that messages name
inspect    finds problems of a run folder, with remedies
repair     fixes problems that can be fixed without loss
replay     replays the training decisions and compares them with the recorded ones
retention  plans which frames to delete
sweep      deletes them
"""

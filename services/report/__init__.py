"""A run's results: a summary for programs and a report for people, both folds over its log and metrics."""

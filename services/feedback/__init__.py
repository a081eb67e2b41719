"""The health of self-feedback, measured from the model's own judgements alone. A library for trainer and report."""

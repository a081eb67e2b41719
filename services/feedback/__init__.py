"""How healthy self-feedback is, told from the model's own judgements alone. A library: trainer and report share it."""

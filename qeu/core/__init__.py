"""Pure rules of the field: prompts, sampling, checks; standard library only."""

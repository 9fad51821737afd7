"""What an export is made of: the run that is exported, its formats, and the proof that they agree."""

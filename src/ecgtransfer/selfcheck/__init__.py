"""Whether the evidence can be trusted: its verdicts on tables and trainings whose truth is known."""

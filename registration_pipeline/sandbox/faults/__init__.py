"""What can go wrong on purpose: faults as values, the plan of them, and what carries them out."""

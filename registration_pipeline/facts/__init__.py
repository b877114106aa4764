"""What is known about objects beyond their listing: sets of facts, each sorted by key and made by a stage of its own.

What belongs here: reading parts of objects (``readers/``) and something of many of them (``reading/``): headers
(``headers/``), sidecars and object metadata; tables; and keeping what was read. What does not: what a plan makes of it
(``planning``). The network stays out of the plan.
"""

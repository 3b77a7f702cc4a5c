"""Race tests: race readers of a map against writers of it, and judge by the coherency contract.

From the top down: engine, live, run, target, case, boundary, passes, racing, witness, tally,
known_faults, ktap, live_modifier, merging, random_writer, tearing, scenario, record.
"""

"""A simulated machine for the engine's code: CPUs, a scheduler, virtual time, a table of costs.

From the top down: timeline, simulation, charges, primitives, rwsem, turns, machine, fair, costs.
"""

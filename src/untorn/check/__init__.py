"""The interleaving checker: the production code under every schedule that can matter.

What runs is locking/, mm/ and fs/ as they are: their primitives come from sync, into which the
checker puts its own for as long as it lasts, and their shared fields are watched through the slots
of their classes. Nothing is modelled, and production modules know nothing of it.

Passing under source-DPOR means: of this scenario's tasks every order of their shared accesses was
made, or one that cannot differ from it in its outcome; each kept the contract and left no lock
behind. It says nothing of other scenarios, nothing of memory orders weaker than the one Python
has (an attribute's store is seen in order) unless memory/ is asked for one, and nothing of the
kernel. Sampling strategies and a bound on preemptions say less: what was found, was found.

From the top down: telling, run, checkpoint, parts, work, explore, oracle, mutants, scenarios,
stage, memory, strategies, runtime, code.
"""

"""The interleaving checker: the production code under every schedule that can matter.

It runs locking/, mm/ and fs/ as they are. Their primitives come from sync, where the checker
installs its own during a run, and it watches their shared fields through the slots of their
classes. Nothing is modelled, and production modules do not know about it.

Passing under source-DPOR means: every order of the shared accesses of this scenario's tasks was
run, or one with the same outcome; each kept the contract and left no lock behind. It says nothing
about other scenarios, about memory orders weaker than Python's (stores to attributes are seen in
order) unless one of memory/ is chosen, or about the kernel. Sampling strategies and a bound on
preemptions say less: only what they found is certain.

From the top down: telling, run, checkpoint, parts, work, explore, oracle, mutants, scenarios,
stage, memory, strategies, runtime, code.
"""

"""The judge of the coherency contract: compares what a reader saw with what writers published.

It is pure and has no threads: the caller that runs readers and writers (race tests, the
interleaving checker) records what they did, and asks afterwards.

1. Every line shown is a VMA exactly as it stood in some state of its window.
2. A page left out was unmapped in some state of the window in which it was passed over.
3. Line ends strictly increase. A line starts below the end of an earlier line only if the range
   changed after that one was shown.
4. A pass ends, whatever writers do.
5. Under vma_lock a writer is never blocked by a reader of another VMA.

The judge checks 1 to 3, for any reading. 4 and 5 do not show in the lines: a pass that can be
judged as a whole has ended, and only the locks know which task blocked which.

From the top down: report, views, contract, lines, history, reading.
"""

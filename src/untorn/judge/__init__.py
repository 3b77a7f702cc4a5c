"""The coherency contract, judged: what a reader was shown against what writers published.

Pure and without threads: whoever runs readers and writers (race tests, the interleaving checker)
notes what they did, and asks afterwards.

1. Every line shown is a VMA exactly as it stood in some state of its window.
2. A page left out was unmapped in some state of the window in which it was passed over.
3. Line ends strictly increase, and a line starts below the end of one before it only where the
   range changed after that was shown.
4. A pass ends, whatever writers do.
5. Under vma_lock a writer is never blocked by a reader of another VMA.

Here 1 to 3 are judged, of any reading; 4 and 5 are not in the lines: a pass that can be judged as
a whole has ended, and who blocked whom is for the owner of the locks to say.

From the top down: report, views, contract, lines, history, reading.
"""

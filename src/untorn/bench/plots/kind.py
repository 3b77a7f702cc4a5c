"""The pictures that there are, by name: known before matplotlib is there to draw them."""

SHARES, RUNS, TARGETS = "shares", "runs", "targets"
PLOT_KINDS = {
    SHARES: "the share of calls that take longer, by how long",
    RUNS: "means and maxima of the runs, each sorted",
    TARGETS: "what readers cost, from target to target",
}
"""What each shows."""

"""Page faults, and what calls do to the pages of a range."""

"""Looking at a real process: by which thread, for how long, how gently."""

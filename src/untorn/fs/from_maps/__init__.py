"""An address space of the engine that starts from the maps of a real process."""

"""A traced child whose address space changes by nothing but the calls it is told to make."""

"""Race tests: readers of a map against writers of it, held to the coherency contract."""

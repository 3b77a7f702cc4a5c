"""Who asks: what it may see, what it wants of a link, its memory.

From the top down: deputy, callers, user_namespaces, rights, thread_credentials, wants, memory.
"""

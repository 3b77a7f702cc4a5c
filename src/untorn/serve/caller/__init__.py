"""The caller: what it may see, whether it wants a link or its target, and its memory.

From the top down: deputy, callers, user_namespaces, rights, thread_credentials, wants, memory.
"""

"""Make the table of orders in docs/weak-memory.md: `python -m untorn.check.memory.listing`."""

from __future__ import annotations

from untorn.check.memory.orders import Order
from untorn.check.memory.table import ROWS


def listing() -> str:
    """Return the table as Markdown; accesses that have all else in common share a line."""
    alike: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for site, order, source, pairs in ROWS:
        accesses = alike.setdefault((name_of(order), source, pairs), {})
        what = f"{site.what} ({site.ordinal})" if site.ordinal else site.what
        accesses.setdefault(site.function or "anywhere", []).append(what)
    lines = ["| access | order | in Linux | pairs with |", "|---|---|---|---|"]
    for (words, source, pairs), accesses in alike.items():
        named = "; ".join(f"`{each}`: {', '.join(what)}" for each, what in accesses.items())
        lines.append(f"| {named} | {words} | {source} | {pairs} |")
    return "\n".join(lines)


def name_of(order: Order) -> str:
    """Return an order in words."""
    named = {
        "spinlock": order.spins,
        "acquire and release": order.acquire and order.release and not order.spins,
        "acquire": order.acquire and not order.release,
        "release": order.release and not order.acquire,
        "dereference": order.dereferences,
    }
    words = [name for name, is_it in named.items() if is_it] or ["relaxed"]
    words += [f"{fence.value} before" for fence in [order.before] if fence]
    words += [f"{fence.value} after" for fence in [order.after] if fence]
    words += ["through the root"] if order.through else []
    return ", ".join(words)


if __name__ == "__main__":
    print(listing())

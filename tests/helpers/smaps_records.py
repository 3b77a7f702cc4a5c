"""The text of smaps, taken apart."""

from dataclasses import dataclass

ROLLUP_ONLY = ("Pss_Anon", "Pss_File", "Pss_Shmem")


@dataclass(frozen=True)
class Record:
    """One record: the line of maps, and the fields in their order."""

    line: bytes
    fields: dict[str, str]
    """Numbers in kB without the unit; other fields unchanged."""

    def kb(self, name: str) -> int:
        return int(self.fields[name])

    def only(self, names: tuple[str, ...]) -> dict[str, str]:
        return {name: self.fields[name] for name in names}


def records(text: bytes) -> list[Record]:
    found: list[Record] = []
    for line in text.splitlines(keepends=True):
        label, colon, value = line.partition(b":")
        if colon and b"-" not in label and b" " not in label:
            found[-1].fields[label.decode()] = value.decode().strip().removesuffix(" kB")
        else:
            found.append(Record(line, {}))
    return found

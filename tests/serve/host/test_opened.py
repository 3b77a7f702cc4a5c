"""Open files show texts, of which not all can be kept."""

from untorn.fs.seq_file import SeqFile
from untorn.serve.host.opened import OpenText, OpenTexts
from untorn.serve.text.text import Text

PAGE = 4096


def line(page: int, pages: int = 1, what: bytes = b"") -> bytes:
    return b"%x-%x r--p %b\n" % (page * PAGE, (page + pages) * PAGE, what)


class Looks:
    """An open file, and how often it looked."""

    def __init__(self, texts: OpenTexts, text: Text) -> None:
        self.text, self.number = text, 0
        self.shown = OpenText(texts, self.look)
        self.file = SeqFile(self.shown)

    def look(self) -> Text:
        self.number += 1
        return self.text


def one(page: int) -> Text:
    return Text([line(page)])


def test_the_text_that_was_not_used_for_the_longest_goes() -> None:
    texts = OpenTexts(most=2 * one(10).size)
    files = [Looks(texts, one(page)) for page in (10, 11, 12)]
    for each in *files[:2], files[0], files[2]:
        each.file.pread(1, 0)
    assert [each.shown.is_kept for each in files] == [True, False, True]
    files[0].shown.close()
    files[1].file.pread(1, 0)
    assert [each.shown.is_kept for each in files] == [False, True, True]


def test_a_text_that_many_show_counts_once_and_is_kept_for_the_last() -> None:
    text = one(10)
    texts = OpenTexts(most=text.size)
    files = [Looks(texts, text) for _ in range(3)]
    for each in files:
        each.file.pread(1, 0)
    assert all(each.shown.is_kept for each in files)
    for each in files[:2]:
        each.shown.close()
    assert files[2].shown.is_kept


def test_a_text_that_is_larger_than_all_may_be_is_shown() -> None:
    file = Looks(OpenTexts(most=1), one(10))
    assert file.file.pread(PAGE, 0) == line(10)
    assert file.file.pread(PAGE, len(line(10))) == b""
    assert file.number == 1


def test_a_file_whose_text_went_goes_on_by_address() -> None:
    file = Looks(OpenTexts(), Text([line(10), line(12), line(14)]))
    first = len(line(10))
    assert file.file.pread(first, 0) == line(10)
    file.shown.renew()
    file.text = Text([line(1), line(10), line(11, 3, b"grown"), line(14)])
    assert file.file.pread(PAGE, first) == line(11, 3, b"grown") + line(14)
    file.shown.renew()
    file.text = Text([line(page) for page in range(20)])
    assert file.file.pread(PAGE, first + len(line(11, 3, b"grown") + line(14))) == b""


def test_numa_maps_go_on_by_address_too() -> None:
    text = Text([b"%x default\n" % (page * PAGE) for page in (10, 12, 14)])
    assert [text.index_from(text.place_of(index)) for index in range(4)] == [0, 1, 2, 3]


def test_a_look_that_ends_after_the_file_was_closed_keeps_nothing() -> None:
    file = Looks(OpenTexts(), one(10))
    file.shown.close()
    assert file.file.pread(PAGE, 0) == line(10)
    assert not file.shown.is_kept

"""Random operations on an open file of /proc."""

from hypothesis import strategies as st

from tests.helpers.file_client import Operation

_SIZES = st.sampled_from([0, 1, 7, 100, 4000, 4095, 4096, 4097, 10_000, 1 << 17, 1 << 24])
_PLACES = st.one_of(st.integers(0, 30_000), st.sampled_from([-1, 4095, 4096, 1 << 40]))
_OPERATION: st.SearchStrategy[Operation] = st.one_of(
    st.tuples(st.just("read"), _SIZES, st.just(0)),
    st.tuples(st.just("pread"), _SIZES, _PLACES),
    st.tuples(st.just("seek"), st.integers(-9000, 30_000), st.integers(0, 4)),
)
OPERATIONS = st.lists(_OPERATION, max_size=12)

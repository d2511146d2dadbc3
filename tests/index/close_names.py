"""Names, and words with a slip that may mean them."""

from __future__ import annotations

import re

from hypothesis import strategies as st

_WORD = st.one_of(
    st.text("abcdhiklmnoprst", min_size=1, max_size=8),
    st.text("가나길김민동수홍", min_size=1, max_size=4),
    st.text("山田太郎小東", min_size=1, max_size=4),
    st.text("やまだたろう", min_size=1, max_size=4),
    st.sampled_from(["schmidt", "smith", "meyer", "maier", "chung", "jung", "philipp", "filip", "kim", "gim"]),
)
_GROUP = st.lists(st.lists(_WORD, min_size=1, max_size=3).map(" ".join), min_size=1, max_size=3).map("^".join)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[str, str]:
    """A group, and one of its words (or words written together) with a slip or without."""
    group = draw(_GROUP)
    whole = draw(st.sampled_from([*re.split(r"[ ^]", group), group.replace("^", ""), group.replace(" ", "")]))
    word = whole.split("^")[0]
    at, other = draw(st.integers(0, len(word))), draw(_WORD)
    slips = [
        word,
        word[:at] + word[at + 1 :],
        word[:at] + other[0] + word[at:],
        word[:at] + other[0] + word[at + 1 :],
        word[:at] + word[at + 1 : at + 2] + word[at : at + 1] + word[at + 2 :],
        other,
    ]
    return draw(st.sampled_from(slips)), group

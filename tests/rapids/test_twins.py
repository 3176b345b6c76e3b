"""The table of twins is made from the code; no RAPIDS is needed."""

from tests.rapids.twins import PAGE, page


def test_the_table_of_twins_is_made_from_the_code():
    hint = "run: python -m tests.rapids.twins"
    assert PAGE.read_text(encoding="utf-8") == page(), hint

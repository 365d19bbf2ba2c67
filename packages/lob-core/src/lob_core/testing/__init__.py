"""Helpers for tests of code that uses order books.

`builders` and `streams` need nothing beyond `lob_core`; `strategies` needs hypothesis, so it is
imported only by those who ask for it.
"""

from lob_core.testing.builders import make_book, stack_trees
from lob_core.testing.streams import random_messages

__all__ = ["make_book", "random_messages", "stack_trees"]

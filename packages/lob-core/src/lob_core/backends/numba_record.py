"""One side of a book while a call lasts: its front in the cache, the rest where it lies.

The kernel works on a copy of a side's best orders, its *front*, in a record on the stack: four
columns with room to shift whole blocks, so that finding, inserting and removing near the touch are
a few vector operations (`numba_side`). What stands behind, the *tail*, stays in the side's own
buffers (the result's) until the end of the call, where it moves at most once, and not at all if as
many orders came as went. A side of up to `MOST_WHOLE` orders is all front. A side is copied when
a message first needs more of it than its best price. Places count from the best order through
front and tail.

Invariants: slots behind the front are blank; if there is a tail, the front is not empty.
"""

# numba infers the types of what it compiles; annotations would only repeat them.
# mypy: ignore-errors

from __future__ import annotations

from lob_core.backends.numba_memory import inline, ints_at, jit, move, words_at
from lob_core.backends.numba_vector import (
    BLOCK,
    STRETCH,
    copy_block,
    copy_four_words,
    copy_stretch,
    fill_block,
    first_below_in_stretch,
)
from lob_core.types import NO_AGENT, NO_ORDER, NO_PRICE

MOST_WHOLE = 96
"""A side with more orders than this is split; with fewer, it is copied whole."""
_FRONT = 48
"""Orders of a split side that are copied: whole blocks, and few enough that a front to which some
are added stays within a stretch, the fast path of `numba_side`."""
CAPACITY = 2 * STRETCH
"""Orders that a front can hold."""
_SKIP = 128  # slots of a side that one look may pass over when its orders are counted

COUNT, TAIL, STOP, USED, IS_CHANGED, _IS_TAKEN_UP, BUFFERS = 0, 1, 2, 3, 4, 5, 8
"""Words of a side's record: orders of the front; first slot of the tail and one past its last;
slots of the buffers that may need blanking; whether anything changed, and whether the front has
been copied; addresses of the buffers."""
_HEADER_BYTES = 128
_COLUMN_BYTES = 4 * (BLOCK + CAPACITY + 2 * BLOCK)
SIDE_WORDS = (_HEADER_BYTES + 4 * _COLUMN_BYTES) // 8
PRICE, SIZE, ORDER_ID, AGENT_ID = (
    _HEADER_BYTES + 4 * BLOCK + column * _COLUMN_BYTES for column in range(4)
)
SHORT = 4 * BLOCK  # bytes of a block


@inline
def prices(side):
    """Prices of the front; the first is `NO_PRICE` if the side is empty."""
    return ints_at(side + PRICE)


@inline
def sizes(side):
    """Sizes of the front."""
    return ints_at(side + SIZE)


@inline
def order_ids(side):
    """Order ids of the front."""
    return ints_at(side + ORDER_ID)


@inline
def agent_ids(side):
    """Agent ids of the front."""
    return ints_at(side + AGENT_ID)


@inline
def fill_blocks(side, first, stop):
    """Blanks blocks of the front."""
    for block in range(first, stop):
        offset = side + SHORT * block
        fill_block(offset + PRICE, NO_PRICE)
        fill_block(offset + SIZE, 0)
        fill_block(offset + ORDER_ID, NO_ORDER)
        fill_block(offset + AGENT_ID, NO_AGENT)


@jit
def prepare(side):
    """Makes an empty record of uninitialized memory."""
    words_at(side)[COUNT], words_at(side)[STOP] = 0, 0
    fill_blocks(side, 0, CAPACITY // BLOCK + 2)


@inline
def num_orders(side):
    """Orders of a side."""
    words = words_at(side)
    return words[COUNT] + words[STOP] - words[TAIL]


@inline
def _count_live(sizes_address, num_slots):
    """Live orders of a packed side."""
    first = 0
    while first + _SKIP < num_slots and ints_at(sizes_address)[first + _SKIP - 1] > 0:
        first += _SKIP
    while first + STRETCH <= num_slots:
        found = first_below_in_stretch(sizes_address + 4 * first, 1, 0)
        if found < STRETCH:
            return first + found
        first += STRETCH
    while first < num_slots and ints_at(sizes_address)[first] > 0:
        first += 1
    return first


@inline
def lay_down(side, buffers):
    """Makes a record that of another side, of which it knows no more than the best price.

    Args:
        side: the record.
        buffers: address of the four addresses of the side's buffers.
    """
    words = words_at(side)
    copy_four_words(side + 8 * BUFFERS, buffers)
    words[IS_CHANGED], words[_IS_TAKEN_UP] = 0, 0
    prices(side)[0] = ints_at(words_at(buffers)[0])[0]


@inline
def take_up(side, num_slots):
    """Copies the front of a side, unless that has been done; before anything but its best price."""
    if words_at(side)[_IS_TAKEN_UP] == 0:
        _load(side, num_slots)


@jit
def _load(side, num_slots):
    """Copies the front of a packed side out of its buffers."""
    words = words_at(side)
    old_blocks = (words[COUNT] + BLOCK - 1) // BLOCK
    price, size, order_id, agent_id = _buffers(side)
    live = _count_live(size, num_slots)
    count = live if live <= MOST_WHOLE else _FRONT
    blocks = (count + BLOCK - 1) // BLOCK
    if live <= STRETCH <= num_slots:
        copy_stretch(side + PRICE, price)
        copy_stretch(side + SIZE, size)
        copy_stretch(side + ORDER_ID, order_id)
        copy_stretch(side + AGENT_ID, agent_id)
        fill_blocks(side, STRETCH // BLOCK, old_blocks)
    elif blocks * BLOCK <= num_slots:
        for block in range(blocks):
            offset, source = side + SHORT * block, SHORT * block
            copy_block(offset + PRICE, price + source)
            copy_block(offset + SIZE, size + source)
            copy_block(offset + ORDER_ID, order_id + source)
            copy_block(offset + AGENT_ID, agent_id + source)
        fill_blocks(side, blocks, old_blocks)
    else:
        fill_blocks(side, 0, max(blocks, old_blocks))
        move(side + PRICE, price, count)
        move(side + SIZE, size, count)
        move(side + ORDER_ID, order_id, count)
        move(side + AGENT_ID, agent_id, count)
    words[COUNT], words[TAIL], words[STOP], words[USED] = count, count, live, live
    words[IS_CHANGED], words[_IS_TAKEN_UP] = 0, 1


@inline
def _buffers(side):
    words = words_at(side)
    return words[BUFFERS], words[BUFFERS + 1], words[BUFFERS + 2], words[BUFFERS + 3]


@jit
def store(side, num_slots):
    """Brings a side that has changed back into its buffers, packed."""
    words = words_at(side)
    if words[IS_CHANGED] == 0:
        return
    count, tail, stop, used = words[COUNT], words[TAIL], words[STOP], words[USED]
    price, size, order_id, agent_id = _buffers(side)
    blocks = (max(count, min(used, CAPACITY)) + BLOCK - 1) // BLOCK
    if stop == tail and blocks * BLOCK <= STRETCH and num_slots >= STRETCH:
        copy_stretch(price, side + PRICE)
        copy_stretch(size, side + SIZE)
        copy_stretch(order_id, side + ORDER_ID)
        copy_stretch(agent_id, side + AGENT_ID)
    elif stop == tail and blocks * BLOCK <= num_slots:
        for block in range(blocks):
            offset, target = side + SHORT * block, SHORT * block
            copy_block(price + target, offset + PRICE)
            copy_block(size + target, offset + SIZE)
            copy_block(order_id + target, offset + ORDER_ID)
            copy_block(agent_id + target, offset + AGENT_ID)
        _blank(side, blocks * BLOCK, used)
    else:
        move_within(side, count, tail, stop - tail)
        move(price, side + PRICE, count)
        move(size, side + SIZE, count)
        move(order_id, side + ORDER_ID, count)
        move(agent_id, side + AGENT_ID, count)
        _blank(side, count + stop - tail, used)


@jit
def _blank(side, first, stop):
    """Blanks slots of a side's buffers."""
    price, size, order_id, agent_id = _buffers(side)
    for slot in range(first, stop):
        ints_at(price)[slot] = NO_PRICE
        ints_at(size)[slot] = 0
        ints_at(order_id)[slot] = NO_ORDER
        ints_at(agent_id)[slot] = NO_AGENT


@jit
def move_within(side, target, source, count):
    """Moves orders within a side's buffers."""
    if count > 0 and target != source:
        price, size, order_id, agent_id = _buffers(side)
        move(price + 4 * target, price + 4 * source, count)
        move(size + 4 * target, size + 4 * source, count)
        move(order_id + 4 * target, order_id + 4 * source, count)
        move(agent_id + 4 * target, agent_id + 4 * source, count)


@jit
def reload(side, num_slots):
    """Splits a side anew: packs it and copies its front again."""
    store(side, num_slots)
    _load(side, num_slots)
    words_at(side)[IS_CHANGED] = 1


@inline
def _address(side, place, column, front):
    """Address of a column of the order at a place; `front` is the column's offset in a record."""
    words = words_at(side)
    if place < words[COUNT]:
        return side + front + 4 * place
    return words[BUFFERS + column] + 4 * (words[TAIL] + place - words[COUNT])


@inline
def price_at(side, place):
    """Price of the order at a place."""
    return ints_at(_address(side, place, 0, PRICE))[0]


@inline
def size_at(side, place):
    """Size of the order at a place."""
    return ints_at(_address(side, place, 1, SIZE))[0]


@inline
def agent_at(side, place):
    """Agent id of the order at a place."""
    return ints_at(_address(side, place, 3, AGENT_ID))[0]


@inline
def set_size(side, place, size):
    """Gives the order at a place another size."""
    words_at(side)[IS_CHANGED] = 1
    ints_at(_address(side, place, 1, SIZE))[0] = size

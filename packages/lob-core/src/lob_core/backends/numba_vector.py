"""Vectors for the kernel of the CPU backend.

A block is `BLOCK` 32-bit integers and a stretch is `STRETCH` of
them; LLVM turns operations on either into the widest ones that the processor has.
"""

# numba infers the types of what it compiles; annotations would only repeat them.
# mypy: ignore-errors

from __future__ import annotations

import llvmlite.binding
import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lob_core.backends.numba_memory import inline, ints_at

BLOCK = 16
STRETCH = 64

_INT1, _INT32, _WORD = ir.IntType(1), ir.IntType(32), ir.IntType(64)
_BLOCK_TYPE, _STRETCH_TYPE = (ir.VectorType(_INT32, size) for size in (BLOCK, STRETCH))
_WORDS_TYPE = ir.VectorType(_WORD, 8)


def _splat(builder, word, vector):
    """A vector of copies of an integer."""
    empty = ir.Constant(vector, ir.Undefined)
    value = builder.trunc(word, _INT32)
    first = builder.insert_element(empty, value, ir.Constant(_INT32, 0))
    lanes = ir.Constant(ir.VectorType(_INT32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, empty, lanes)


def _load(builder, address, vector, offset=0):
    shifted = builder.add(address, ir.Constant(_WORD, 4 * offset))
    return builder.load(builder.inttoptr(shifted, vector.as_pointer()), align=4)


def _store(builder, value, address):
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=4)


def _has_wide_vectors():
    """Whether a register of the processor holds a block, so that a stretch at once pays."""
    features = numba.config.CPU_FEATURES
    if features is None:
        return llvmlite.binding.get_host_cpu_features().get("avx512bw", False)
    return "+avx512bw" in features


IS_WIDE = _has_wide_vectors()


def _store_over(builder, value, address):
    """Stores a vector some of whose lanes have just been loaded from there.

    Where vectors are short LLVM must not see that, for it would store the other lanes alone: a
    later read has to wait for such a store, and AMD's processors take long over it.
    """
    if not IS_WIDE:
        kind = ir.FunctionType(_WORD, [_WORD])
        address = builder.asm(kind, "", "=r,0", [address], side_effect=False)
    _store(builder, value, address)


def _first_set(builder, bits):
    """Number of the lowest bit that is set; 64 if there is none."""
    count = builder.module.declare_intrinsic(
        "llvm.cttz", [_WORD], ir.FunctionType(_WORD, [_WORD, _INT1])
    )
    return builder.call(count, [bits, ir.Constant(_INT1, 0)])


def _copier(vector):
    @intrinsic
    def copy(typing_context, target, source):
        def generate(context, builder, signature, args):
            _store(builder, _load(builder, args[1], vector), args[0])
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    return copy


copy_four_words = _copier(ir.VectorType(_WORD, 4))
copy_block = _copier(_BLOCK_TYPE)
copy_stretch = _copier(_STRETCH_TYPE)


def _shift(builder, values, by):
    """The lanes of a vector one to the right (`by` -1) or left (1); the end lane is arbitrary."""
    count = values.type.count
    lanes = [min(max(lane + by, 0), count - 1) for lane in range(count)]
    order = ir.Constant(ir.VectorType(_INT32, count), lanes)
    return builder.shuffle_vector(values, values, order)


def _inserter(vector):
    """An intrinsic that moves lanes from `lane` on one to the right and puts `value` in the gap.

    In a stretch, lanes move within registers: a read across two recent writes would have to wait
    for both. In a block, `lane` may be negative, and what stands before the block then follows.
    """
    lanes = ir.Constant(vector, list(range(vector.count)))

    @intrinsic
    def shift_in(typing_context, target, lane, value):
        def generate(context, builder, signature, args):
            address, lane, value = args
            gap, kept = _splat(builder, lane, vector), _load(builder, address, vector)
            if vector is _STRETCH_TYPE:
                shifted = _shift(builder, kept, -1)
            else:
                shifted = _load(builder, address, vector, -1)
            moved = builder.select(builder.icmp_signed(">", lanes, gap), shifted, kept)
            is_gap = builder.icmp_signed("==", lanes, gap)
            inserted = builder.select(is_gap, _splat(builder, value, vector), moved)
            _store_over(builder, inserted, address)
            return context.get_dummy_value()

        int64 = types.int64
        return types.void(int64, int64, int64), generate

    return shift_in


shift_in_block = _inserter(_BLOCK_TYPE)
shift_in_stretch = _inserter(_STRETCH_TYPE)


def _remover(vector):
    """An intrinsic that moves lanes behind `lane` one to the left, over it; the next follows."""
    lanes = ir.Constant(vector, list(range(vector.count)))

    @intrinsic
    def shift_out(typing_context, target, lane):
        def generate(context, builder, signature, args):
            address, lane = args
            kept = _load(builder, address, vector)
            if vector is _STRETCH_TYPE:
                end = builder.add(address, ir.Constant(_WORD, 4 * STRETCH))
                next_value = builder.load(builder.inttoptr(end, _INT32.as_pointer()), align=4)
                last = ir.Constant(_INT32, STRETCH - 1)
                shifted = builder.insert_element(_shift(builder, kept, 1), next_value, last)
            else:
                shifted = _load(builder, address, vector, 1)
            is_moved = builder.icmp_signed(">=", lanes, _splat(builder, lane, vector))
            _store_over(builder, builder.select(is_moved, shifted, kept), address)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    return shift_out


shift_out_block = _remover(_BLOCK_TYPE)
shift_out_stretch = _remover(_STRETCH_TYPE)


@intrinsic
def fill_block(typing_context, target, value):
    """Sets a block to one value."""

    def generate(context, builder, signature, args):
        _store(builder, _splat(builder, args[1], _BLOCK_TYPE), args[0])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@inline
def fill(address, count, value):
    """Sets integers to one value."""
    if count < BLOCK:
        for i in range(count):
            ints_at(address)[i] = value
    else:
        for i in range(0, count - BLOCK, BLOCK):
            fill_block(address + 4 * i, value)
        fill_block(address + 4 * (count - BLOCK), value)


@intrinsic
def add_words(typing_context, target, source):
    """Adds eight words to eight others."""

    def generate(context, builder, signature, args):
        left, right = (_load(builder, address, _WORDS_TYPE) for address in args)
        _store(builder, builder.add(left, right), args[0])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


def _bits(builder, lanes):
    """A vector of truth values as the lowest bits of a word."""
    bits = builder.bitcast(lanes, ir.IntType(lanes.type.count))
    return bits if bits.type == _WORD else builder.zext(bits, _WORD)


def _matcher(vector):
    """An intrinsic: the first place at which two vectors both hold the value looked for.

    It is not below the number of lanes if there is none.
    """

    @intrinsic
    def first_match(typing_context, left, left_value, right, right_value):
        def generate(context, builder, signature, args):
            is_left, is_right = (
                builder.icmp_signed(
                    "==", _load(builder, address, vector), _splat(builder, value, vector)
                )
                for address, value in (args[:2], args[2:])
            )
            return _first_set(builder, _bits(builder, builder.and_(is_left, is_right)))

        int64 = types.int64
        return int64(int64, int64, int64, int64), generate

    return first_match


first_match_in_block = _matcher(_BLOCK_TYPE)
first_match_in_stretch = _matcher(_STRETCH_TYPE)


def _comparer(vector):
    """An intrinsic: the first place whose value, exclusive-or `flip`, is below `key`.

    It is not below the number of lanes if there is none.
    """

    @intrinsic
    def first_below(typing_context, address, key, flip):
        def generate(context, builder, signature, args):
            values = _load(builder, args[0], vector)
            key, flip = (_splat(builder, arg, vector) for arg in args[1:])
            is_below = builder.icmp_signed("<", builder.xor(values, flip), key)
            return _first_set(builder, _bits(builder, is_below))

        int64 = types.int64
        return int64(int64, int64, int64), generate

    return first_below


first_below_in_block = _comparer(_BLOCK_TYPE)
first_below_in_stretch = _comparer(_STRETCH_TYPE)


@inline
def first_match(left, left_value, right, right_value, count):
    """First of `count` places at which two columns hold the values looked for.

    It is `count` or more if there is none. Whole blocks are read, and whole stretches where
    vectors are wide.
    """
    first = 0
    if IS_WIDE:
        while first < count:
            offset = 4 * first
            found = first_match_in_stretch(left + offset, left_value, right + offset, right_value)
            if found < STRETCH:
                return first + found
            first += STRETCH
    else:
        while first < count:
            offset = 4 * first
            found = first_match_in_block(left + offset, left_value, right + offset, right_value)
            if found < BLOCK:
                return first + found
            first += BLOCK
    return first


@inline
def first_below(address, key, flip, count):
    """First of `count` places whose value, exclusive-or `flip`, is below `key`.

    It is `count` or more if there is none. Whole blocks are read, and whole stretches where
    vectors are wide.
    """
    first = 0
    if IS_WIDE:
        while first < count:
            found = first_below_in_stretch(address + 4 * first, key, flip)
            if found < STRETCH:
                return first + found
            first += STRETCH
    else:
        while first < count:
            found = first_below_in_block(address + 4 * first, key, flip)
            if found < BLOCK:
                return first + found
            first += BLOCK
    return first

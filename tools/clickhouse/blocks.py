"""ClickHouse's own framing of compressed bytes: `decompress=1` of a request, `compress=1` of an answer."""

import struct

import lz4.block
from clickhouse_cityhash.cityhash import CityHash128

NONE, LZ4 = 0x02, 0x82
# Method, length with this header, length of what was compressed; a checksum of 16 bytes lies before it.
HEADER = struct.Struct("<BII")
LARGEST = 1 << 20


def checksum(data):
    # The pair's first number is the upper half of what the package makes of it.
    return struct.pack("<QQ", *divmod(CityHash128(data), 1 << 64))


def compress(data):
    out = []
    for start in range(0, len(data), LARGEST):
        part = data[start : start + LARGEST]
        packed = lz4.block.compress(part, store_size=False)
        block = HEADER.pack(LZ4, HEADER.size + len(packed), len(part)) + packed
        out.append(checksum(block) + block)
    return b"".join(out)


def decompress(data):
    """ValueError where the bytes are none, or not whole."""
    out, at = [], 0
    while at < len(data):
        if len(data) - at < 16 + HEADER.size:
            raise ValueError("a compressed block ends early")
        method, length, plain = HEADER.unpack_from(data, at + 16)
        block = data[at + 16 : at + 16 + length]
        if length < HEADER.size or len(block) < length:
            raise ValueError("a compressed block ends early")
        if checksum(block) != data[at : at + 16]:
            raise ValueError("the checksum of a compressed block does not match")
        if method == LZ4:
            out.append(lz4.block.decompress(block[HEADER.size :], uncompressed_size=plain))
        elif method == NONE:
            out.append(block[HEADER.size :])
        else:
            raise ValueError(f"compression method 0x{method:02x} is not known here")
        at += 16 + length
    return b"".join(out)

"""The message format between capture and service: records, batches, acknowledgements, topics, addresses."""

from __future__ import annotations

from optiprov.wire.batch import Batch, Header, decode_batch, encode_batch
from optiprov.wire.broker import BrokerAddress
from optiprov.wire.record import decode_record, encode_record, encode_row, parse_records, read_record
from optiprov.wire.shape import BEGIN, END, ItemShape, Shape, ShapeTuple, encode_shape, expand, unpack
from optiprov.wire.slots import LISTED, SLOT_BYTES, WORDS, codes_of, row_struct
from optiprov.wire.topics import (
    SERVICE_TOPIC,
    SHARDS,
    ack_topic,
    client_of,
    lane_filters,
    lane_of,
    records_topic,
    service_topic,
)

__all__ = [
    "BEGIN",
    "END",
    "LISTED",
    "SERVICE_TOPIC",
    "SHARDS",
    "SLOT_BYTES",
    "WORDS",
    "Batch",
    "BrokerAddress",
    "Header",
    "ItemShape",
    "Shape",
    "ShapeTuple",
    "ack_topic",
    "client_of",
    "codes_of",
    "decode_batch",
    "decode_record",
    "encode_batch",
    "encode_record",
    "encode_row",
    "encode_shape",
    "expand",
    "lane_filters",
    "lane_of",
    "parse_records",
    "read_record",
    "records_topic",
    "row_struct",
    "service_topic",
    "unpack",
]

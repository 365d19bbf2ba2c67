"""Implementations of the engine; `lob_core.process_messages` chooses among them."""

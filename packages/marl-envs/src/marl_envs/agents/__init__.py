"""Kinds of agent: what they can do, see and are paid for."""

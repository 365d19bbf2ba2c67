"""Estimates with intervals, resampling, tests of two samples; everything is seeded."""

"""Market makers: quote both sides, earn the spread, carry inventory."""

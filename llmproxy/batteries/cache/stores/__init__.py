"""Where answers are kept: in memory, and in a store behind it."""

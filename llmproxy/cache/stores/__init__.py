"""Where answers are kept to be given again: in memory, and in a second level behind it."""

"""What stands around the core: packages that can each be left out (docs/decisions/029)."""

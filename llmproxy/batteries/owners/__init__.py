"""Remembers which account keeps which file, batch, stored response or other thing with an id, and
sends calls that name an id to its account (docs/decisions/048).

Other packages import only this module. redis-py and sqlite3 are imported when a store needs them.
"""

from llmproxy.batteries.owners.opening import OwnerRegistries, place_of_file

__all__ = ["OwnerRegistries", "place_of_file"]

"""Files, batches, stored responses and all else that accounts keep under ids: which account keeps
what, and how a call that names an id gets there (docs/decisions/048).

Other packages import only this module. redis-py and sqlite3 are imported when a store needs them.
"""

from llmproxy.batteries.owners.opening import OwnerRegistries, place_of_file

__all__ = ["OwnerRegistries", "place_of_file"]

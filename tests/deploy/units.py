"""Reads a unit of systemd."""

from collections import defaultdict


def directives(text):
    """Return what each directive of a unit says, in order; an empty value forgets those before."""
    found = defaultdict(list)
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if not equals or line.startswith("#"):
            continue
        if not value:
            found[name].clear()
        found[name].append(value)
    return found


def words(values):
    """Return the words of a directive that may be given several times."""
    return [word for value in values for word in value.split()]

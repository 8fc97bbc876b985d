"""What commands print of a wrong config."""


def messages(stderr):
    """The lines of stderr without the lines of the file that are shown below them."""
    return [line for line in stderr.splitlines() if not line.startswith("  ")]

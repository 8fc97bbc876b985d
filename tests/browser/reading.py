"""What axe-core says of a page."""

from axe_playwright_python.sync_playwright import Axe

# axe-core cannot determine the background of texts in a chart, nor that a single digit is a text.
# They have the same colours as the texts beside them.
UNJUDGED = ["contains an image node", "too short to determine"]
# Nor does it see that dialogs and messages lie above the rest.
COVERED = [*UNJUDGED, "partially overlaps other elements"]


def violations(page, within="html", unjudged=UNJUDGED):
    """Return the violations that axe-core finds, and the contrasts that it cannot judge."""
    options = {"resultTypes": ["violations", "incomplete"]}
    found = Axe().run(page, context=within, options=options).response
    unsure = [rule for rule in found["incomplete"] if rule["id"] == "color-contrast"]
    return [
        (rule["id"], node["target"], node["failureSummary"])
        for rule in [*found["violations"], *unsure]
        for node in rule["nodes"]
        if not any(words in node["failureSummary"] for words in unjudged)
    ]

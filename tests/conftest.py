"""What holds for every test: how long an example of a property takes is no matter.

Hypothesis would have each done within 200 ms, which depends on who else uses the machine.
"""

try:
    from hypothesis import HealthCheck, settings
except ImportError:
    pass  # `make e2e` does without it
else:
    settings.register_profile(
        "unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("unhurried")

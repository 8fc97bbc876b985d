"""`llmproxy init`: writes a first config, after four questions.

command.py asks (or takes the options), plan.py parses the answers, writing.py makes the texts.
Nothing is written before everything was answered and the result was checked.
"""

"""What an operator looks at afterwards: logs, metrics, traces and the file of calls."""

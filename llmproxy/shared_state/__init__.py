"""One view of limits and endpoints across instances, in Redis or Valkey."""

"""Results as text, Markdown and HTML. Reads results only, never the engine."""

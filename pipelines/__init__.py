"""vitapps."""

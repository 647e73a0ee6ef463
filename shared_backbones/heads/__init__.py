"""What reads Features."""

"""Thousands of inputs, each done once: job file, journal, engines, schedule, report. Knows no domain, only tasks."""

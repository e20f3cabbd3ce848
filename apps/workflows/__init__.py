"""Durable workflows: definitions, runs, steps, their admission, and the tasks that carry hints."""

"""Agents: what a step runs. They see their step's input and one door to models, and return JSON."""

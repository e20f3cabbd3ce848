"""A local server that speaks the Anthropic Messages API and calls no model.

For development without a key, for tests and for load: answers are extracted from the prompt, latency is
drawn from a seeded distribution, and faults are scripted over HTTP. Run it with
``python -m agentplatform.simulator``. Every response carries ``x-simulator: agentplatform``.
"""

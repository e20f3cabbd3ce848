"""The one door to models: requests, responses, pricing and the gateway that wraps the providers."""

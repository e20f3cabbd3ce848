"""An app of workloads for benchmarks and chaos tests: agents and definitions that do nothing, or one thing."""

"""What one simulator process is started with."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from agentplatform.simulator.errors import invalid_request
from agentplatform.simulator.fields import check_object
from agentplatform.simulator.provider_settings import ProviderSettings, change_settings

DEFAULT_PORT = 8088
_CREDENTIALS = {
    "SIMULATOR_SECOND_API_KEY": "second_api_key",
    "SIMULATOR_BEDROCK_ACCESS_KEY": "bedrock_access_key",
    "SIMULATOR_BEDROCK_API_KEY": "bedrock_api_key",
    "SIMULATOR_VERTEX_ACCESS_TOKEN": "vertex_access_token",
}


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """Seed, pace, credentials and providers of one simulator.

    `latency_scale` multiplies every drawn latency: 1 is the pace of the real models, 0 answers at once.
    `seed` fixes the latency drawn for a given request. `providers` holds the settings of those that differ.
    """

    seed: int = 0
    latency_scale: float = 1.0
    second_api_key: str = "simulator-second"
    bedrock_access_key: str = "AKIASIMULATORBEDROCK"
    bedrock_api_key: str = "simulator-bedrock"
    vertex_access_token: str = "simulator-vertex"
    providers: Mapping[str, ProviderSettings] = field(default_factory=dict)


def settings_from(environment: Mapping[str, str], *, seed: int, latency_scale: float) -> SimulatorSettings:
    """Return the settings an environment gives: the providers' credentials, and `SIMULATOR_PROVIDERS`.

    That is a JSON object of what their control endpoint takes, by provider. Raises ApiError, which names what
    is wrong with it.
    """
    credentials = {name: environment[key] for key, name in _CREDENTIALS.items() if environment.get(key)}
    return SimulatorSettings(
        seed=seed,
        latency_scale=latency_scale,
        providers=_providers(environment.get("SIMULATOR_PROVIDERS") or "{}"),
        **credentials,
    )


def _providers(text: str) -> dict[str, ProviderSettings]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise invalid_request(f"is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise invalid_request("Input should be an object of settings by provider")
    return {
        name: change_settings(ProviderSettings(), check_object(fields, name))
        for name, fields in value.items()
    }

"""Lists as CSV, for those who ask for it by `Accept: text/csv` or `format=csv`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rest_framework.renderers import BaseRenderer

from apps.console.spreadsheets import csv_lines


class CsvRenderer(BaseRenderer):
    """Renders `rows` of a response; every row has the same names. A problem stays a problem document."""

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        response = (renderer_context or {}).get("response")
        if response is not None and response.exception:
            return json.dumps(data).encode()
        rows = data["rows"]
        headers = data["columns"]
        return "".join(csv_lines(headers, ([row[name] for name in headers] for row in rows))).encode()

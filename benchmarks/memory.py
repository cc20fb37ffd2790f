"""Peak memory of archiving one report, by its number of people.

The product's own modules against the simulated Graph and Azurite, in a process of its own for each size.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from local.simulator.control.client import Control
from local.simulator.tenant.orders import NewSession
from local.stack import compose

ROOT = Path(__file__).parents[1]
SIZES = (20, 1_000, 20_000)
PAGES = (100, 1_000)
MEBIBYTE = 1024
PROBE = """
import json, resource, sys
from shared import services, times
from shared.archiving import worker
from shared.messages import signals
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
worker.handle_signals(signals.serialize_message(signals.call_record_news(sys.argv[1], times.now())), services.current())
print(json.dumps([before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


def main() -> None:
    with compose.up() as running:
        control = Control(running.graph)
        container = running.blob_service().get_container_client(running.container)
        for page in PAGES:
            control.change_settings(recordPageSize=page)
            for people in SIZES:
                meeting = control.add_meeting().meeting_id
                made = control.add_session(NewSession(meeting, participants=people, announce=False))
                done = subprocess.run(
                    [sys.executable, "-c", PROBE, made.call_id],
                    cwd=ROOT,
                    env={**os.environ, **running.settings},
                    capture_output=True,
                    check=True,
                    timeout=300,
                )
                before, peak = json.loads(done.stdout.splitlines()[-1])
                names = container.list_blobs(name_starts_with="reports/")
                size = next(blob.size for blob in names if made.report_id in blob.name)
                print(
                    f"{people:>6} people in pages of {page:>5}: report {size / 1e6:5.1f} MB, "
                    f"peak {peak / MEBIBYTE:4.0f} MiB, {(peak - before) / MEBIBYTE:3.0f} MiB over the imports"
                )


if __name__ == "__main__":
    main()

"""A subscriber of Event Grid: told of each report that is stored, it reads it and does something with it.

An event tells an address, and whoever may post to the function can make one up: only blobs below `reports/` of the
archive that the settings name are read. Events come at least once and in any order, and a report can be replaced; so
the same report can come again, and what you do with it must bear that.

Needs Python 3.10 or newer, and the packages in requirements.txt.
"""

import json
import logging
import os
from typing import Any

import azure.functions as func
from azure.core.exceptions import ResourceNotFoundError
from azure.identity import ManagedIdentityCredential
from azure.storage.blob import ContainerClient

app = func.FunctionApp()


@app.function_name("report_stored")
@app.event_grid_trigger(arg_name="event")
def report_stored(event: func.EventGridEvent) -> None:
    """One report was stored, or replaced."""
    name = report_name(event)
    if name is None:
        logging.info("Passed over: %s", event.event_type)
        return
    try:
        report = json.loads(archive().download_blob(name).readall())
    except ResourceNotFoundError:
        return  # it moved to another day, which comes as an event of its own
    use(report)


def use(report: dict[str, Any]) -> None:
    """What this subscriber is for: here, a line in the log without anybody's name."""
    logging.info(
        "Report %s has %d attendance records", report.get("id"), len(report.get("attendanceRecords", []))
    )


def report_name(event: func.EventGridEvent) -> str | None:
    """The blob name of the report that an event is about, or None for another event."""
    container = os.environ.get("ATTENDANCE_CONTAINER", "attendance")
    prefix = f"/blobServices/default/containers/{container}/blobs/"
    if event.event_type != "Microsoft.Storage.BlobCreated" or not event.subject.startswith(
        f"{prefix}reports/date="
    ):
        return None
    return str(event.subject.removeprefix(prefix))


def archive() -> ContainerClient:
    """The container of the reports; its address comes from the settings and never from an event."""
    return ContainerClient(
        os.environ["AttendanceStorage__blobServiceUri"],
        os.environ.get("ATTENDANCE_CONTAINER", "attendance"),
        ManagedIdentityCredential(client_id=os.environ.get("AZURE_CLIENT_ID")),
    )

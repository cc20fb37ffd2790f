"""Valid app settings for tests that are not about them."""

TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
STATE = "a-client-state-for-tests-0123456789"
PREVIOUS_STATE = "the-client-state-before-0123456789"
ERASURE_KEY = "an-erasure-key-for-tests-0123456789"
ENVIRON = {
    "AttendanceStorage__blobServiceUri": "https://reports.blob.core.windows.net",
    "AzureWebJobsStorage__accountName": "jobs",
    "NOTIFICATION_BASE_URL": "https://app.azurewebsites.net/api",
    "MAINTAIN_SCHEDULE": "0 */15 * * * *",
    "SWEEP_SCHEDULE": "0 10 * * * *",
    "TENANT_ID": TENANT,
    "CLIENT_STATE": STATE,
    "ERASURE_KEY": ERASURE_KEY,
    "CLIENT_STATE_PREVIOUS": PREVIOUS_STATE,
}

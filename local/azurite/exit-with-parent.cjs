// Loaded into Azurite before its own code (node -r): ends it when its stdin closes, that is, when the stack that
// started it is gone, however it went. SIGTERM first, because Azurite writes its metadata on the way out.
"use strict";

const SECONDS_TO_SAVE = 5;

process.stdin.on("end", () => {
  process.kill(process.pid, "SIGTERM");
  setTimeout(() => process.exit(1), SECONDS_TO_SAVE * 1000).unref();
});
process.stdin.resume();
// Only the servers keep Azurite alive: once they are closed it may end although stdin is still open.
process.stdin.unref();

// Nobody reads the output of an orphan. A broken pipe must not end it before it has saved.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

"""Triggers and bindings of the function app; the work is done in shared/.

The webhooks load only azure.functions and the standard library, so that a cold start answers Graph in time. Everything
that talks to storage or Graph is imported inside the functions that need it. The webhooks are coroutines, which do not
wait for a thread while workers keep all of them busy. Settings are read when a function runs, never at import, because
a wrong one must not remove the app's functions. The one exception is DELIVERY: it is compared here, and the functions
of other ways of delivery do not exist. If it is wrong, the webhooks and the health page exist, and say so.
"""

import os
from typing import List  # noqa: UP035 - the Functions runtime refuses list[str] as a binding's type

import azure.functions as func

from shared import logs
from shared.doors import webhook

app = func.FunctionApp()

STORAGE = "AzureWebJobsStorage"
OTHER_WAYS = {"event-hubs", "event-grid"}
DELIVERY = set(os.environ.get("DELIVERY", "webhook").split(","))


if "webhook" in DELIVERY or not DELIVERY <= OTHER_WAYS:

    @app.function_name("receive_notifications")
    @app.route(route="notifications", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
    @app.queue_output(arg_name="signals", queue_name="meeting-signals", connection=STORAGE)
    @app.queue_output(arg_name="tasks", queue_name="upkeep", connection=STORAGE)
    async def receive_notifications(
        req: func.HttpRequest,
        signals: func.Out[List[str]],  # noqa: UP006
        tasks: func.Out[List[str]],  # noqa: UP006
        context: func.Context,
    ) -> func.HttpResponse:
        """Receive Graph's change notifications, and lifecycle ones sent here."""
        return _receive(req, signals, tasks, context)

    @app.function_name("receive_lifecycle")
    @app.route(route="lifecycle", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
    @app.queue_output(arg_name="signals", queue_name="meeting-signals", connection=STORAGE)
    @app.queue_output(arg_name="tasks", queue_name="upkeep", connection=STORAGE)
    async def receive_lifecycle(
        req: func.HttpRequest,
        signals: func.Out[List[str]],  # noqa: UP006
        tasks: func.Out[List[str]],  # noqa: UP006
        context: func.Context,
    ) -> func.HttpResponse:
        """Receive Graph's lifecycle notifications; items are sorted by kind, not by route."""
        return _receive(req, signals, tasks, context)


if "event-hubs" in DELIVERY:
    # There is no poison queue: a batch is retried for five hours and then passed over; the sweep finds its meetings.
    @app.function_name("receive_events")
    @app.event_hub_message_trigger(
        arg_name="events",
        event_hub_name="graph-notifications",
        connection="GraphEventHub",
        consumer_group="attendance",
        cardinality=func.Cardinality.MANY,
        data_type=func.DataType.STRING,
    )
    @app.retry(
        strategy="exponential_backoff",
        max_retry_count="60",
        minimum_interval="00:00:05",
        maximum_interval="00:05:00",
    )
    @app.queue_output(arg_name="signals", queue_name="meeting-signals", connection=STORAGE)
    @app.queue_output(arg_name="tasks", queue_name="upkeep", connection=STORAGE)
    def receive_events(
        events: List[func.EventHubEvent],  # noqa: UP006
        signals: func.Out[List[str]],  # noqa: UP006
        tasks: func.Out[List[str]],  # noqa: UP006
        context: func.Context,
    ) -> None:
        """Receive a batch of Graph's notifications from the event hub."""
        from shared.doors import events as door
        from shared.messages.signals import Door

        trace = context.trace_context.trace_parent
        bodies = [event.get_body() for event in events]
        _set(door.forward_events(bodies, os.environ, trace, Door.EVENT_HUBS), signals, tasks)


if "event-grid" in DELIVERY:

    @app.function_name("receive_grid_events")
    @app.queue_trigger(arg_name="event", queue_name="graph-events", connection=STORAGE)
    @app.queue_output(arg_name="signals", queue_name="meeting-signals", connection=STORAGE)
    @app.queue_output(arg_name="tasks", queue_name="upkeep", connection=STORAGE)
    def receive_grid_events(
        event: func.QueueMessage,
        signals: func.Out[List[str]],  # noqa: UP006
        tasks: func.Out[List[str]],  # noqa: UP006
        context: func.Context,
    ) -> None:
        """Receive one of Graph's notifications, which Event Grid put on the queue."""
        from shared.doors import events as door
        from shared.messages.signals import Door

        trace = context.trace_context.trace_parent
        _set(door.forward_events([event.get_body()], os.environ, trace, Door.EVENT_GRID), signals, tasks)


@app.function_name("archive_reports")
@app.queue_trigger(arg_name="message", queue_name="meeting-signals", connection=STORAGE)
def archive_reports(message: func.QueueMessage) -> None:
    """Archive the reports of a signal and record its outcome."""
    from shared import services
    from shared.archiving import worker

    worker.handle_signals(_text(message), services.current(), redelivered=(message.dequeue_count or 1) > 1)


@app.function_name("bury_poison")
@app.queue_trigger(arg_name="message", queue_name="meeting-signals-poison", connection=STORAGE)
def bury_poison(message: func.QueueMessage) -> None:
    """Record a message that failed as often as the queue allows."""
    from shared import services
    from shared.archiving import dead_letters

    dead_letters.record_dead_message(_text(message), services.current())


@app.function_name("do_upkeep")
@app.queue_trigger(arg_name="message", queue_name="upkeep", connection=STORAGE)
def do_upkeep(message: func.QueueMessage) -> None:
    """Run one upkeep task: renew subscriptions, reconcile, write manifests."""
    from shared import services, upkeep

    upkeep.handle_task(_text(message), services.current())


@app.function_name("maintain_subscriptions")
@app.timer_trigger(arg_name="timer", schedule="%MAINTAIN_SCHEDULE%")
def maintain_subscriptions(timer: func.TimerRequest) -> None:
    """Create, renew and fix the app's Graph subscriptions."""
    from shared import services
    from shared.subscriptions import maintain

    logs.info("subscriptions.started", pastDue=timer.past_due)
    maintain.maintain_all(services.current())


@app.function_name("sweep")
@app.timer_trigger(arg_name="timer", schedule="%SWEEP_SCHEDULE%")
def sweep(timer: func.TimerRequest) -> None:
    """Find unannounced meetings, and seal the days that are over."""
    from shared import services
    from shared.reconcile import sweep as app_sweep

    logs.info("sweep.due", pastDue=timer.past_due)
    app_sweep.run_sweep(services.current())


@app.function_name("health")
@app.route(route="health", methods=["GET", "POST"], auth_level=func.AuthLevel.FUNCTION)
async def health(req: func.HttpRequest) -> func.HttpResponse:
    """Report whether the app is healthy, as JSON or an HTML page; 200 or 503.

    A POST is the page's search. It is a coroutine with a thread of its own: busy workers must not look like an app that
    hangs.
    """
    import asyncio

    def check() -> func.HttpResponse:
        from shared.health import endpoint, search

        if req.method == "POST":
            reply = search.respond(os.environ, req.get_body())
        else:
            reply = endpoint.respond(os.environ, req.headers.get("Accept", ""))
        return func.HttpResponse(
            reply.text,
            status_code=reply.status,
            mimetype=reply.mimetype,
            charset="utf-8",
            headers=dict(reply.headers),
        )

    return await asyncio.to_thread(check)


def _text(message: func.QueueMessage) -> str:
    """Return the message's text; bytes that are not UTF-8 become escapes.

    Such a message is recorded as unreadable.
    """
    return message.get_body().decode(errors="backslashreplace")


def _receive(
    req: func.HttpRequest,
    signals: func.Out[List[str]],  # noqa: UP006
    tasks: func.Out[List[str]],  # noqa: UP006
    context: func.Context,
) -> func.HttpResponse:
    reply = webhook.answer_post(
        validation_token=req.params.get("validationToken"),
        body=req.get_body(),
        environ=os.environ,
        traceparent=context.trace_context.trace_parent,
    )
    _set(reply, signals, tasks)
    return func.HttpResponse(
        reply.text,
        status_code=reply.status,
        mimetype="text/plain",
        charset="utf-8",
        headers={"X-Content-Type-Options": "nosniff"},
    )


def _set(
    reply: webhook.WebhookReply,
    signals: func.Out[List[str]],  # noqa: UP006
    tasks: func.Out[List[str]],  # noqa: UP006
) -> None:
    if reply.signals:
        signals.set(list(reply.signals))
    if reply.tasks:
        tasks.set(list(reply.tasks))

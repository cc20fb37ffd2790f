"""A simulator of Microsoft Graph: call records, meetings, reports, subscriptions.

It answers as Microsoft's documentation says, also where that is unpleasant: deadlines, limits, missing data,
paging, reports that come late. It shares no code with the product, so that a misreading there shows here.
"""

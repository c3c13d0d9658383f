"""Clients of the revision 2026-07-28: no sessions, an envelope in every request, the stream as the request's life."""

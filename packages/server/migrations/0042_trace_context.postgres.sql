-- The trace as a caller sent it (W3C Trace Context), for what is done on their behalf: `traceparent` only where nothing of the run is
-- recorded here, because the caller's trace is not sampled or nobody collects; it is handed on then as it came.
alter table runs add column traceparent text;
alter table runs add column tracestate text;

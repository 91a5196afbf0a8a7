// What the API answers, as the console's scripts read it, for TypeScript's checker.

interface JSON {
  rawJSON?(text: string): any;
  parse(text: string, reviver: (this: any, key: string, value: any, context: { source: string }) => any): any;
}

interface Trigger {
  type: "one-time" | "cron" | "interval";
  fields: {
    date?: string;
    cron?: string;
    timezone?: string;
    dst?: { gap: string; fold: string };
    every?: number;
    starts_at?: string;
    ends_at?: string;
    max_runs?: number;
    spread?: number;
    exclude?: string[];
  };
}

interface JobRequest {
  url: string;
  method: string;
  headers: Record<string, string>;
  body: any;
}

interface Job {
  id: string;
  name: string;
  key: string | null;
  status: "active" | "paused" | "completed" | "failed";
  created_at: string;
  updated_at: string;
  next_run_time: string | null;
  trigger: Trigger;
  request: JobRequest;
  timeout: number;
  retry: {
    max_attempts: number;
    initial_delay: number | null;
    max_delay: number | null;
    delays?: number[];
    never?: (string | number)[];
  };
  success?: {
    status: (string | number)[];
    body_contains: string | null;
    json: Record<string, any> | null;
  } | null;
  completion?: "callback";
  deadline?: number;
  flow?: string | null;
  overlap: "allow" | "skip";
  misfire_grace: number | null;
  labels: Record<string, string>;
  callbacks: { succeeded: { url: string } | null; failed: { url: string } | null } | null;
  pause_after: number | null;
  pause: { since: string; until: string | null; reason: string | null; by: string | null } | null;
  skips?: number;
  backfill?: { from: string; to: string; runs: number; left: number } | null;
  result: Result | null;
  recent_runs?: string[];
}

interface Result {
  run_id: string;
  status: "succeeded" | "failed";
  scheduled_time: string;
  finished_at: string;
  status_code: number | null;
}

interface Attempt {
  number: number;
  started_at: string;
  duration_ms: number;
  outcome: string;
  status_code: number | null;
  error: string | null;
  message?: string;
  response?: { headers: Record<string, string>; body: string; truncated: boolean; encoding?: string };
}

interface Run {
  id: string;
  job_id: string;
  job_name?: string;
  cause: "schedule" | "manual" | "retry" | "backfill";
  status: string;
  reason?: string;
  scheduled_time: string;
  started_at: string | null;
  finished_at: string | null;
  lateness_ms: number | null;
  attempts: Attempt[];
  next_attempt_at: string | null;
  deadline?: string;
  waits_for?: string;
  waited_ms?: number;
  missed_count?: number;
  last_scheduled_time?: string;
  retry_of?: string;
  retried_by?: string;
}

interface FieldProblem {
  field: string;
  message: string;
}

/** An answer's data, the cursor of the next page, and the ETag. */
interface Answer<Data> {
  data: Data;
  next: string | null;
  tag: string | null;
}

interface Percentiles {
  p50: number;
  p99: number;
}

interface Counts {
  succeeded: number;
  failed: number;
  missed: number;
  skipped: number;
  lateness_ms: Percentiles | null;
}

interface Hours {
  hours: (Counts & { hour: string })[];
  total: Counts;
  counted_until: string;
  complete: boolean;
}

interface Upcoming {
  occurrences: { job_id: string; name: string; scheduled_time: string; skipped?: boolean }[];
  until: string;
  complete_until: string;
}

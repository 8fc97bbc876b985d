// The JSON of the admin API, as far as the dashboard reads it. A test compares it with the models.

type EndpointStatus =
  | "ok"
  | "full"
  | "cooling"
  | "open"
  | "half-open"
  | "misconfigured"
  | "drained";

interface LimitView {
  limit: number;
  left: number;
  configured: number | null;
}

interface LimitsView {
  requests: LimitView | null;
  tokens: LimitView | null;
  concurrent: LimitView | null;
}

interface RecentStats {
  calls: number;
  errors: number;
  error_rate: number;
  calls_per_s: number;
  input_tokens: number;
  output_tokens: number;
  cached_tokens: number;
  cost_usd: number;
  unknown_cost_calls: number;
  prompt_cache_saved_usd: number;
  first_byte_p50_ms: number | null;
  first_byte_p99_ms: number | null;
}

interface TotalStats {
  calls: number;
  errors: number;
  input_tokens: number;
  output_tokens: number;
  cached_tokens: number;
  cost_usd: number;
  unknown_cost_calls: number;
  prompt_cache_saved_usd: number;
  cache_hits: number;
  cache_misses: number;
  saved_tokens: number;
  saved_usd: number;
  retries: number;
  failovers: number;
  streams_interrupted: number;
}

interface SlowView {
  first_byte_ms: number;
  usual_ms: number;
  since: number;
}

interface EndpointView {
  endpoint: string;
  state: EndpointStatus;
  why: string | null;
  reason: string | null;
  probing: boolean;
  ready_in_s: number | null;
  since: number;
  tier: number;
  weight: number;
  breaker: "closed" | "open" | "half-open";
  drained: boolean;
  slow: SlowView | null;
  in_flight: number;
  capacity: LimitsView;
  recent: RecentStats;
}

interface GroupView {
  group: string;
  status: "ok" | "degraded" | "down";
  waiting: number;
  in_flight: number;
  recent: RecentStats;
  endpoints: EndpointView[];
}

interface ConfigView {
  source: string | null;
  loaded_at: number;
  reloads: number;
  failed_reloads: number;
  error: string | null;
  error_at: number | null;
}

interface SharedStateView {
  connected: boolean;
  instances: number;
  why: string | null;
  since_s: number;
}

interface StoreView {
  connected: boolean;
  why: string | null;
}

interface CacheView {
  entries: number;
  bytes: number;
  store: StoreView | null;
}

interface TlsView {
  names: string[];
  expires_at: number;
  loaded_at: number;
  error: string | null;
}

interface DatabaseView {
  address: string;
  connected: boolean | null;
  why: string | null;
  since: number;
  queued: number;
  spooled: number;
  lost: number;
}

interface LostView {
  access_log: number;
  traces: number;
}

interface ProxyView {
  version: string;
  status: "ok" | "degraded" | "down" | "draining";
  now: number;
  started_at: number;
  workers: number;
  config: ConfigView;
  shared: SharedStateView | null;
  in_flight: number;
  recent: RecentStats;
  totals: TotalStats;
  groups: GroupView[];
  cache: CacheView | null;
  database: DatabaseView | null;
  tls: TlsView | null;
  failed_connections: Record<string, number>;
  lost: LostView;
}

interface TraceStep {
  what: "skipped" | "attempt" | "fallback" | "changed";
  endpoint: string | null;
  at_ms: number;
  why: string | null;
  ms: number | null;
  outcome: string | null;
  reason: string | null;
  status: number | null;
  verdict: string | null;
  message: string | null;
  upstream_id: string | null;
  hedge: boolean | null;
}

interface CallTrace {
  id: string;
  at: number;
  request: string;
  stream: boolean;
  group: string | null;
  fallback: string | null;
  model: string | null;
  caller: string | null;
  team: string | null;
  key: string | null;
  end_user: string | null;
  tags: string[];
  client: string | null;
  endpoint: string | null;
  status: number;
  error: string | null;
  error_source: string | null;
  upstream_id: string | null;
  attempts: number;
  cache: string | null;
  first_byte_ms: number | null;
  total_ms: number;
  overhead_ms: number;
  waited_ms: number;
  input_tokens: number | null;
  output_tokens: number | null;
  cached_tokens: number | null;
  cost_usd: number | null;
  cost_basis: "free" | "exact" | "estimated" | "unknown" | null;
  steps: TraceStep[];
}

interface Mark {
  at: number;
  what: "start" | "reload" | "drain" | "enable" | "outage" | "back";
  subject: string | null;
}

interface HistoryPoint {
  at: number;
  calls: number;
  errors: number;
  retries: number | null;
  input_tokens: number;
  output_tokens: number;
  cost_usd: number;
  saved_usd: number;
  cache_hits: number | null;
  cache_misses: number | null;
  first_byte_p50_ms: number | null;
  first_byte_p99_ms: number | null;
  total_p50_ms: number | null;
  total_p99_ms: number | null;
  overhead_p50_ms: number | null;
  total_mean_ms: number | null;
}

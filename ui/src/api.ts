/** What the control API sends and takes, as it is on the wire. Times are seconds since the epoch unless they say milliseconds. */

/** `GET /control/status`, and the event `status`. */
export interface Status {
  /** The proxy's version. */
  version: string;
  /** Whether turns can run. */
  ready: boolean;
  /** Why not, in a sentence. */
  reason: string | null;
  /** Whether a person has paused the proxy, so that it refuses requests. */
  paused: boolean;
  backend_mode: 'app-server' | 'proto';
  /** What Codex's own tools may touch. */
  sandbox_mode: string;
  uptime_seconds: number;
  /** Requests that wait for a place on a worker. */
  queue_depth: number;
  workers: Worker[];
  /** The base URL that clients use. */
  address: string;
  account: Account;
  limits: Limits | null;
  /** Whether the plan is used up. */
  limited: boolean;
  codex: CodexStatus;
  /** The last proof since the proxy was started. */
  proof: ProofJob | null;
  today: Totals | null;
  warnings: string[];
}

export type WorkerState = 'starting' | 'ready' | 'draining' | 'backing_off' | 'failed';

/** One supervised Codex process. */
export interface Worker {
  id: number;
  state: WorkerState;
  pid: number | null;
  codex_version: string | null;
  uptime_seconds: number | null;
  restarts: number;
  /** How its last process ended, with the end of what it said on standard error. */
  last_exit: string | null;
  last_exit_at: number | null;
  retry_in_seconds: number | null;
  turns_running: number;
  turns_done: number;
  resident_bytes: number | null;
}

export type AccountState = 'unknown' | 'not_needed' | 'signed_out' | 'signing_in' | 'signed_in';

/** `GET /control/account`. */
export interface Account {
  state: AccountState;
  method: 'chatgpt' | 'api_key' | null;
  email: string | null;
  plan: string | null;
  workspace: string | null;
  login: Login | null;
  /** The page of the proxy that starts a sign-in. */
  sign_in_url: string | null;
  /** What went wrong with the last sign-in, in words. */
  problem: string | null;
}

/** The one sign-in that is under way. */
export interface Login {
  id: string;
  method: 'browser' | 'device_code';
  auth_url: string | null;
  verification_url: string | null;
  user_code: string | null;
  started_at: number;
  expires_at: number;
}

/** `GET /control/limits`. */
export interface Limits {
  plan: string | null;
  ordinary_usage_allowed: boolean | null;
  /** Which limit has been reached. */
  reached: string | null;
  primary: LimitWindow | null;
  secondary: LimitWindow | null;
  credits: Credits | null;
  read_at: number;
}

/** How much of one limit has been used. */
export interface LimitWindow {
  used_percent: number;
  window_minutes: number | null;
  resets_at: number | null;
}

export interface Credits {
  has_credits: boolean;
  unlimited: boolean;
  balance: string | null;
}

/** `GET /control/codex`. */
export interface CodexStatus {
  /** Where the Codex CLI in use comes from: named in the settings, installed by the proxy, or found on PATH. */
  source: 'setting' | 'managed' | 'path' | null;
  path: string | null;
  version: string | null;
  supported: boolean;
  problem: string | null;
  /** The version that this proxy is tested with. */
  pinned: string;
  managed: { current: string | null; previous: string | null };
  /** Programs on this machine that could be used, while there is none to use. */
  elsewhere: string[];
  job: Job | null;
}

export type JobPhase =
  | 'resolving'
  | 'downloading'
  | 'verifying'
  | 'unpacking'
  | 'checking'
  | 'proving'
  | 'switching'
  | 'done'
  | 'failed';

/** An installation, update or rollback of the Codex CLI. */
export interface Job {
  action: 'install' | 'update' | 'rollback';
  phase: JobPhase;
  version: string | null;
  bytes: number;
  total_bytes: number | null;
  error: string | null;
}

/** A proof of what Codex adds to a prompt, as it goes on. */
export interface ProofJob {
  phase: 'starting' | 'asking' | 'done' | 'failed';
  version: string | null;
  /** Requests that have been answered, of how many. */
  done: number;
  all: number;
  verdict: Verdict | null;
  error: string | null;
}

export type Verdict = 'pure' | 'impure' | 'unproved';

/** `GET /control/proofs`. */
export interface Proofs {
  job: ProofJob | null;
  /** One for each version, the newest first. */
  proofs: Proof[];
}

/** What was proved of one Codex. */
export interface Proof {
  version: string;
  path: string;
  proved_at: number;
  took_ms: number;
  verdict: Verdict;
  /** What is wrong, in a few words. */
  reasons: string;
  findings: Finding[];
  models: number;
  word_bytes: number;
  tool_bytes: number;
  foreign_bytes: number;
  /** What is around the words, and no part of a prompt. */
  protocol: { name: string; reason: string; bytes: number }[];
  connections: Connection[];
  example: { said: unknown; arrived: unknown } | null;
  cases: { model: string; kind: string; foreign_bytes: number }[];
}

/** Something that is wrong. */
export interface Finding {
  kind: 'added' | 'lost' | 'changed' | 'connection' | 'failed';
  what: string;
  bytes: number;
  requests: number;
  example: string;
}

/** What Codex has connected to. */
export interface Connection {
  method: string;
  target: string;
  times: number;
  bytes: number;
  /** Null for one that is not known. */
  reason: string | null;
}

/** `GET /control/keys`. */
export interface KeyList {
  store: KeyStore;
  /** Why the keys are not in the keychain, for instance. */
  warning: string | null;
  keys: Key[];
}

export type KeyStore = 'keychain' | 'file';

/** An API key, without its secret. */
export interface Key {
  id: string;
  name: string;
  enabled: boolean;
  /** 0 if nobody knows, as for one from the settings. */
  created_at: number;
  last_used_at: number | null;
  secret_in: KeyStore | 'configuration';
}

/** Sums over requests. */
export interface Totals {
  requests: number;
  errors: number;
  cancelled: number;
  input_tokens: number;
  cached_tokens: number;
  cache_write_tokens: number;
  output_tokens: number;
  reasoning_tokens: number;
  total_tokens: number;
  /** How many requests are counted with estimated tokens. */
  estimated_requests: number;
  avg_ttft_ms: number | null;
  avg_duration_ms: number | null;
}

export type UsageGroup = 'hour' | 'day' | 'model' | 'key' | 'client';

/** `GET /control/usage`. */
export interface Usage {
  object: 'usage';
  start: number;
  end: number;
  tz: string;
  group: UsageGroup;
  totals: Totals;
  data: UsageBucket[];
}

/** One bar of the chart: an hour or a day, or a model, key or client. */
export interface UsageBucket extends Totals {
  bucket: string;
  start: number | null;
  end: number | null;
}

export type RequestState = 'running' | 'done' | 'failed' | 'cancelled';

/** What stands for a key's name where a prompt was tried in the window. */
export const WINDOW_KEY = 'window';

/** One request of a client, and the event `request`. */
export interface RequestEntry {
  id: string;
  /** When it came, in milliseconds since the epoch. */
  at: number;
  method: string;
  route: string;
  /** `responses`, `chat`, or that of another route. */
  surface: string | null;
  /** The name of the key that it brought. */
  key: string | null;
  client: string | null;
  user_agent: string | null;
  /** The client's address; null for requests of before the start. */
  address: string | null;
  /** Null while it runs. */
  status: number | null;
  error_code: string | null;
  requested_model: string | null;
  effective_model: string | null;
  effort: string | null;
  service_tier: string | null;
  stream: boolean;
  request_bytes: number;
  response_bytes: number;
  ttft_ms: number | null;
  duration_ms: number | null;
  input_tokens: number | null;
  cached_tokens: number | null;
  output_tokens: number | null;
  tool_calls: number;
  worker: number | null;
  state: RequestState;
  has_capture: boolean;
  /** Why it was not let in; null for those that were. */
  refusal: Refusal | null;
}

/** Why a request was not let in. */
export interface Refusal {
  reason: 'no_key' | 'wrong_key' | 'host' | 'origin' | 'unknown_route';
  /** The host or the origin that is not allowed. */
  named: string | null;
  /** How many requests like it came. */
  count: number;
}

/** `GET /control/requests`, newest first. */
export interface RequestList {
  capture: CaptureState;
  requests: RequestEntry[];
}

/** Whether requests are being recorded in full, whose, and until when. */
export interface CaptureState {
  active: boolean;
  key: string | null;
  until: number | null;
}

/** `GET /control/requests/{id}`. */
export interface RequestDetail extends RequestEntry {
  capture: Capture | null;
  /** The request as a curl command, with `$CODEX_PROXY_KEY` in place of the key; null without a capture. */
  curl: string | null;
}

/** What one request held, with secrets removed. */
export interface Capture {
  request_headers: [name: string, value: string][];
  request_body: string | null;
  /** The JSON lines that went to Codex. */
  sent_to_codex: string[];
  response_body: string | null;
  truncated: boolean;
}

export type SettingValue = string | number | boolean | string[] | null;

/** One setting, in the proxy's own words. */
export interface Setting {
  /** Its environment variable. */
  name: string;
  /** Its key in `config.toml`, if it may stand there. */
  key: string | null;
  /** Null when it is secret or has no value. */
  value: SettingValue;
  set: boolean;
  source: 'default' | 'file' | 'environment' | 'flag';
  default: SettingValue;
  about: string;
  kind: 'boolean' | 'integer' | 'string' | 'list';
  /** What is allowed, to follow "must be". */
  allowed: string;
  secret: boolean;
}

/** `GET /control/settings`, and the answer to `PATCH`. */
export interface Settings {
  file: string | null;
  /** Whether something was changed that takes a start to be in force. */
  restart_needed: boolean;
  /** What is allowed but probably not meant, in sentences. */
  warnings: string[];
  settings: Setting[];
}

/** `GET /control/models`. */
export interface ModelList {
  default: string | null;
  models: Model[];
}

export interface Model {
  id: string;
  aliases: string[];
  target: string | null;
  efforts: string[];
  default_effort: string | null;
  description: string | null;
  hidden: boolean;
  input_modalities: string[];
  supports_tools: boolean;
}

/** `GET /control/logs`. */
export interface Logs {
  file: string | null;
  lines: string[];
}

/** `GET` and `PUT /control/logs/level`. */
export interface LogLevel {
  filter: string;
}

/** `GET /control/clients`. */
export interface ClientConfig {
  id: string;
  config_file: string;
  exists: boolean;
  /** Whether it leads to this proxy. */
  configured: boolean;
  /** Whether the proxy has changed it, so that this can be taken back. */
  can_undo: boolean;
}

/** The body of every error. */
export interface ErrorBody {
  error: { message: string; type: string; param: string | null; code: string | null };
}

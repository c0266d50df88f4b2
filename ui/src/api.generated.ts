/**
 * What the control API sends and takes. Made by `cargo xtask types` of proxy-core/src/control/api.rs.
 *
 * Times are seconds since the epoch unless they say milliseconds.
 */

/** A setting's value: null if it is secret or has none. */
export type SettingValue = string | number | boolean | string[] | null;

/**
 * What `GET /control/events` tells: as a server-sent event, its name is `event` and its text is `data`.
 */
export type Event = { "event": "status", "data": Status } | { "event": "request", "data": RequestEntry };

/**
 * The body of every error.
 */
export type ErrorBody = {
/**
 * What is wrong.
 */
error: ErrorObject,
};

/**
 * What is wrong, in the form of OpenAI's errors.
 */
export type ErrorObject = {
/**
 * In sentences for people: what is wrong and what to do.
 */
message: string,
/**
 * The kind of error, as OpenAI names it.
 */
type: string,
/**
 * The field that is wrong.
 */
param: string | null,
/**
 * The error's name for programs.
 */
code: string | null,
};

/**
 * The answer of `GET /control/status`, and the event `status`.
 */
export type Status = {
/**
 * The proxy's version.
 */
version: string,
/**
 * Whether turns can run.
 */
ready: boolean,
/**
 * Why not, in a sentence.
 */
reason: string | null,
/**
 * Whether a person has paused the proxy: it refuses requests until it is resumed.
 */
paused: boolean,
/**
 * Which of Codex's protocols is spoken.
 */
backend_mode: BackendMode,
/**
 * What Codex's own tools may touch.
 */
sandbox_mode: SandboxMode,
/**
 * Seconds since the proxy was started.
 */
uptime_seconds: number,
/**
 * Requests that wait for a worker.
 */
queue_depth: number,
/**
 * The workers.
 */
workers: Array<Worker>,
/**
 * Which Codex is used.
 */
codex: CodexStatus,
/**
 * The last proof since the proxy was started, as it goes on.
 */
proof: ProofJob | null,
/**
 * The base URL for clients on this machine.
 */
address: string,
/**
 * Who is signed in.
 */
account: Account,
/**
 * What is left of the plan, once Codex has said so.
 */
limits: Limits | null,
/**
 * Whether the plan is used up.
 */
limited: boolean,
/**
 * The sums over all requests since the local day began.
 */
today: Totals,
/**
 * What is wrong but stops nothing, in sentences for people.
 */
warnings: Array<string>,
};

/**
 * Which of Codex's protocols is spoken.
 */
export type BackendMode = "app-server" | "proto";

/**
 * What Codex's own tools may touch.
 */
export type SandboxMode = "read-only" | "workspace-write" | "danger-full-access";

/**
 * One supervised Codex process.
 */
export type Worker = {
/**
 * Which one, from 0.
 */
id: number,
/**
 * Where it stands.
 */
state: WorkerState,
/**
 * Its process, while there is one.
 */
pid: number | null,
/**
 * The version of its Codex.
 */
codex_version: string | null,
/**
 * Seconds since its process was started.
 */
uptime_seconds: number | null,
/**
 * How many times a process has been started again.
 */
restarts: number,
/**
 * Starts in a row that ended soon; 0 while it is ready.
 */
consecutive_failures: number,
/**
 * When it last got ready.
 */
last_ready_at: number | null,
/**
 * How long that start took, in milliseconds.
 */
startup_ms: number | null,
/**
 * How its last process ended, with the end of what it printed on stderr.
 */
last_exit: string | null,
/**
 * When that was.
 */
last_exit_at: number | null,
/**
 * Seconds until the next try, while it is down.
 */
retry_in_seconds: number | null,
/**
 * The same in milliseconds.
 */
retry_in_ms: number | null,
/**
 * Turns it is working on.
 */
turns_running: number,
/**
 * Turns it has ended.
 */
turns_done: number,
/**
 * Its resident memory in bytes, when last read.
 */
resident_bytes: number | null,
};

/**
 * Where a worker stands.
 */
export type WorkerState = "starting" | "ready" | "draining" | "backing_off" | "failed";

/**
 * The answer of `POST /control/pause` and `/control/resume`.
 */
export type Paused = {
/**
 * Whether requests are refused from now on.
 */
paused: boolean,
};

/**
 * The answer of `GET /control/account`, and a part of the state.
 */
export type Account = {
/**
 * Whether it can be used.
 */
state: AccountState,
/**
 * What it is signed in with.
 */
method: AccountMethod | null,
/**
 * The account's address.
 */
email: string | null,
/**
 * Its plan, in the vendor's word.
 */
plan: string | null,
/**
 * The workspace in use.
 */
workspace: string | null,
/**
 * The sign-in that is under way.
 */
login: Login | null,
/**
 * The proxy's page that starts a sign-in, if there is one.
 */
sign_in_url: string | null,
/**
 * Why the last sign-in failed, or why that page cannot be reached.
 */
problem: string | null,
};

/**
 * Whether the account can be used.
 */
export type AccountState = "unknown" | "not_needed" | "signed_out" | "signing_in" | "signed_in";

/**
 * What an account is signed in with.
 */
export type AccountMethod = "chatgpt" | "api_key" | string;

/**
 * The one sign-in that is under way.
 */
export type Login = {
/**
 * Codex's name of it.
 */
id: string,
/**
 * How it goes.
 */
method: LoginMethod,
/**
 * The page for a browser on this machine.
 */
auth_url: string | null,
/**
 * The page that takes the code.
 */
verification_url: string | null,
/**
 * The code.
 */
user_code: string | null,
/**
 * When it was begun.
 */
started_at: number,
/**
 * When it is over, done or not.
 */
expires_at: number,
};

/**
 * How a sign-in that is under way goes.
 */
export type LoginMethod = "browser" | "device_code";

/**
 * The body of `POST /control/account/login`.
 */
export type LogIn = {
/**
 * How to sign in.
 */
method: SignInWith,
/**
 * The key, with the method `api_key`.
 */
api_key?: string,
};

/**
 * How to sign in.
 */
export type SignInWith = "browser" | "device_code" | "api_key";

/**
 * The body of `POST /control/account/import`.
 */
export type ImportLogin = {
/**
 * The `auth.json` to copy, absolute; that of the user's own Codex if none is named.
 */
path?: string | null,
};

/**
 * The answer of `POST /control/account/import`.
 */
export type Imported = {
/**
 * The account now.
 */
account: Account,
/**
 * What a person should know about copies of a sign-in.
 */
note: string,
};

/**
 * The answer of `GET /control/limits`: what is left of the plan.
 */
export type Limits = {
/**
 * The plan, in the vendor's word.
 */
plan: string | null,
/**
 * Whether the plan's own use is allowed now; `None` when the vendor has not said so.
 */
ordinary_usage_allowed: boolean | null,
/**
 * Which limit is reached, in the vendor's word.
 */
reached: string | null,
/**
 * The short window.
 */
primary: LimitWindow | null,
/**
 * The long window.
 */
secondary: LimitWindow | null,
/**
 * Bought credits.
 */
credits: Credits | null,
/**
 * When this was last told.
 */
read_at: number,
};

/**
 * A window of time over which use is counted.
 */
export type LimitWindow = {
/**
 * How much of it is used, in percent.
 */
used_percent: number,
/**
 * How long it is.
 */
window_minutes: number | null,
/**
 * When it begins anew.
 */
resets_at: number | null,
};

/**
 * The answer of `GET /control/limits/history`: how both windows went, oldest first.
 */
export type LimitHistory = {
/**
 * Of the short window: for each percentage the first and the last reading.
 */
primary: Array<LimitReading>,
/**
 * Of the long window.
 */
secondary: Array<LimitReading>,
};

/**
 * How much of a window was used at a time.
 */
export type LimitReading = {
/**
 * The time, in seconds since the epoch.
 */
at: number,
/**
 * The window then.
 */
window: LimitWindow,
};

/**
 * Bought credits.
 */
export type Credits = {
/**
 * Whether there are any.
 */
has_credits: boolean,
/**
 * Whether they never end.
 */
unlimited: boolean,
/**
 * How many are left, in the vendor's words.
 */
balance: string | null,
};

/**
 * The answer of `GET /control/account/usage`: how many tokens the account has used, in the vendor's own count.
 */
export type AccountUsage = {
/**
 * Over all its time.
 */
summary: UsageSummary,
/**
 * Day by day, where the vendor tells.
 */
daily_usage_buckets: Array<UsageDay> | null,
};

/**
 * The account's use over all its time.
 */
export type UsageSummary = {
/**
 * Tokens in all.
 */
lifetime_tokens: number | null,
/**
 * Tokens of the busiest day.
 */
peak_daily_tokens: number | null,
/**
 * Seconds of the longest turn.
 */
longest_running_turn_sec: number | null,
/**
 * Days in a row, up to now.
 */
current_streak_days: number | null,
/**
 * Most days in a row.
 */
longest_streak_days: number | null,
};

/**
 * The account's use on one day.
 */
export type UsageDay = {
/**
 * The day, as `YYYY-MM-DD`.
 */
start_date: string,
/**
 * Tokens on it.
 */
tokens: number,
};

/**
 * The answer of `GET /control/codex`: which Codex is used, and what is going on with the managed copies.
 */
export type CodexStatus = {
/**
 * Where it comes from; `None` if there is none.
 */
source: CodexSource | null,
/**
 * Its binary.
 */
path: string | null,
/**
 * Its version, as far as it has said so.
 */
version: string | null,
/**
 * Whether the proxy can drive it.
 */
supported: boolean,
/**
 * What is wrong with it, and what to do.
 */
problem: string | null,
/**
 * What is worth knowing though nothing is wrong.
 */
note: string | null,
/**
 * The version that is installed unless another is asked for.
 */
pinned: string,
/**
 * The proxy's own copies.
 */
managed: Managed,
/**
 * Programs that could be used, where there is none to use: they lie where installers put Codex.
 */
elsewhere: Array<string>,
/**
 * The last installation, update or rollback since the proxy was started.
 */
job: Job | null,
};

/**
 * Where the Codex CLI in use comes from.
 */
export type CodexSource = "setting" | "managed" | "path";

/**
 * The versions of the proxy's own copies.
 */
export type Managed = {
/**
 * The one that is used unless another is set.
 */
current: string | null,
/**
 * The one that a rollback puts into use.
 */
previous: string | null,
};

/**
 * An installation, an update or a rollback, running or ended.
 */
export type Job = {
/**
 * What it is to do.
 */
action: JobAction,
/**
 * How far it is.
 */
phase: JobPhase,
/**
 * The version it is about, once that is known.
 */
version: string | null,
/**
 * Bytes of the archive that are there.
 */
bytes: number,
/**
 * Bytes of the archive, once they are known.
 */
total_bytes: number | null,
/**
 * Why it failed.
 */
error: string | null,
};

/**
 * What a job is to do.
 */
export type JobAction = "install" | "update" | "rollback";

/**
 * How far a job is.
 */
export type JobPhase = "resolving" | "downloading" | "verifying" | "unpacking" | "checking" | "proving" | "switching" | "done" | "failed";

/**
 * The body of `POST /control/codex/install`: a version, or a file of this machine.
 */
export type InstallCodex = {
/**
 * The version; the pinned one if none is named.
 */
version?: string | null,
/**
 * A binary or an archive with one, by its absolute path.
 */
file?: string | null,
};

/**
 * The body of `POST /control/codex/update`.
 */
export type UpdateCodex = {
/**
 * The version; the newest if none is named.
 */
version?: string | null,
};

/**
 * The answer of `GET /control/proofs`.
 */
export type Proofs = {
/**
 * The last one since the proxy was started, as it goes on.
 */
job: ProofJob | null,
/**
 * One for each version, the newest first.
 */
proofs: Array<Proof>,
};

/**
 * A proof of what Codex adds to a prompt, running or ended.
 */
export type ProofJob = {
/**
 * How far it is.
 */
phase: ProofPhase,
/**
 * The version it is about, once that is known.
 */
version: string | null,
/**
 * Requests that have been answered.
 */
done: number,
/**
 * Requests there are.
 */
all: number,
/**
 * The result.
 */
verdict: Verdict | null,
/**
 * Why there is none.
 */
error: string | null,
};

/**
 * How far a proof is.
 */
export type ProofPhase = "starting" | "asking" | "done" | "failed";

/**
 * The result of a proof.
 */
export type Verdict = "pure" | "impure" | "unproved";

/**
 * What was proved of one Codex.
 */
export type Proof = {
/**
 * The version that the binary printed; empty if it printed none.
 */
version: string,
/**
 * The binary.
 */
path: string,
/**
 * Its size in bytes.
 */
size: number,
/**
 * When it was written, in milliseconds since the epoch.
 */
modified: number,
/**
 * The switches that it was run with, as a digest.
 */
switches: string,
/**
 * When it was proved.
 */
proved_at: number,
/**
 * How long that took.
 */
took_ms: number,
/**
 * The result.
 */
verdict: Verdict,
/**
 * What is wrong, in a few words; empty if nothing is.
 */
reasons: string,
/**
 * What is wrong, each once.
 */
findings: Array<Finding>,
/**
 * Models that were asked.
 */
models: number,
/**
 * Bytes of the client's own words that reached a model.
 */
word_bytes: number,
/**
 * Bytes of the client's own tools that reached a model.
 */
tool_bytes: number,
/**
 * Bytes that are not the client's.
 */
foreign_bytes: number,
/**
 * The parts of the protocol around the words, which are no part of a prompt.
 */
protocol: Array<ProtocolPart>,
/**
 * What Codex has connected to.
 */
connections: Array<Connection>,
/**
 * One request in full.
 */
example: Example | null,
/**
 * Every request.
 */
cases: Array<Case>,
};

/**
 * Something that is wrong.
 */
export type Finding = {
/**
 * What kind of wrong.
 */
kind: FindingKind,
/**
 * What it is, in words.
 */
what: string,
/**
 * Its length, where it is met first.
 */
bytes: number,
/**
 * In how many requests.
 */
requests: number,
/**
 * The piece itself, or what was said; long ones are cut.
 */
example: string,
};

/**
 * What kind of wrong a finding is.
 */
export type FindingKind = "added" | "lost" | "changed" | "connection" | "failed";

/**
 * A part of the protocol.
 */
export type ProtocolPart = {
/**
 * Its name.
 */
name: string,
/**
 * What it is for.
 */
reason: string,
/**
 * Bytes of it in all requests.
 */
bytes: number,
};

/**
 * What Codex has connected to.
 */
export type Connection = {
/**
 * `GET`, `POST`, …; `CONNECT` for another host.
 */
method: string,
/**
 * The path at the service, or another host.
 */
target: string,
/**
 * How many times.
 */
times: number,
/**
 * Bytes that were sent, those of requests to the model on a WebSocket not included.
 */
bytes: number,
/**
 * What it is for; `None` if it is none of those that are known.
 */
reason: string | null,
};

/**
 * One request in full.
 */
export type Example = {
/**
 * What the client said.
 */
said: unknown,
/**
 * What arrived.
 */
arrived: unknown,
};

/**
 * One request of a proof.
 */
export type Case = {
/**
 * The model it asked for.
 */
model: string,
/**
 * What it was about.
 */
kind: CaseKind,
/**
 * Bytes of the client's own words.
 */
word_bytes: number,
/**
 * Bytes of the client's own tools.
 */
tool_bytes: number,
/**
 * Bytes that are not the client's.
 */
foreign_bytes: number,
};

/**
 * What a request of a proof is about.
 */
export type CaseKind = "plain" | "tools" | "effort" | "schema" | "image";

/**
 * The answer of `GET /control/keys`.
 */
export type KeyList = {
/**
 * Where the text of a new key goes.
 */
store: KeyStore,
/**
 * What a person should know about the keys, in sentences: why they are not in the keychain, for instance.
 */
warning: string | null,
/**
 * The keys, the operator's own first, then the oldest.
 */
keys: Array<Key>,
};

/**
 * Where the text of a new key goes.
 */
export type KeyStore = "keychain" | "file";

/**
 * An API key, without its text.
 */
export type Key = {
/**
 * Its name for programs; it never changes.
 */
id: string,
/**
 * Its name for people.
 */
name: string,
/**
 * Whether it is accepted, unless it is overridden.
 */
enabled: boolean,
/**
 * When it was made; the configuration does not tell.
 */
created_at: number | null,
/**
 * When a request last showed it.
 */
last_used_at: number | null,
/**
 * Where its text lies.
 */
secret_in: KeyPlace,
/**
 * Whether it is not accepted because the operator's own key takes its place.
 */
overridden?: boolean,
};

/**
 * Where the text of a key lies.
 */
export type KeyPlace = "keychain" | "file" | "configuration";

/**
 * A key that was made or changed, and what did not go quite as it should.
 */
export type ChangedKey = {
/**
 * What is left to be done, in a sentence.
 */
warning?: string | null,
/**
 * Its name for programs; it never changes.
 */
id: string,
/**
 * Its name for people.
 */
name: string,
/**
 * Whether it is accepted, unless it is overridden.
 */
enabled: boolean,
/**
 * When it was made; the configuration does not tell.
 */
created_at: number | null,
/**
 * When a request last showed it.
 */
last_used_at: number | null,
/**
 * Where its text lies.
 */
secret_in: KeyPlace,
/**
 * Whether it is not accepted because the operator's own key takes its place.
 */
overridden?: boolean,
};

/**
 * The answer of `DELETE /control/keys/{key}` if not all of the key is gone.
 */
export type DeletedKey = {
/**
 * What is left to be done, in a sentence.
 */
warning: string | null,
};

/**
 * The answer of `POST /control/keys/{key}/reveal`.
 */
export type RevealedKey = {
/**
 * The key's text.
 */
secret: string,
};

/**
 * The body of `POST /control/keys`.
 */
export type CreateKey = {
/**
 * Its name for people.
 */
name: string,
};

/**
 * The body of `PATCH /control/keys/{key}`: what is to change.
 */
export type UpdateKey = {
/**
 * Its new name for people.
 */
name?: string | null,
/**
 * Whether it is accepted from now on.
 */
enabled?: boolean | null,
};

/**
 * The body of `POST /control/keys/migrate`.
 */
export type MigrateKeys = {
/**
 * Where the texts of all keys go.
 */
to: KeyDestination,
};

/**
 * Where the texts of all keys go.
 */
export type KeyDestination = "keychain" | "file";

/**
 * The answer of `GET /control/requests`.
 */
export type RequestList = {
/**
 * Whether texts are being captured.
 */
capture: CaptureState,
/**
 * The requests, newest first.
 */
requests: Array<RequestEntry>,
};

/**
 * One request as a person sees it. Times are in milliseconds, sizes in bytes.
 */
export type RequestEntry = {
/**
 * The request's id, as the response header `x-request-id` says it.
 */
id: string,
/**
 * When it came, in milliseconds since the epoch.
 */
at: number,
/**
 * HTTP method.
 */
method: string,
/**
 * The route, without query.
 */
route: string,
/**
 * `responses` or `chat`.
 */
surface: string,
/**
 * The name of the key that was shown.
 */
key: string | null,
/**
 * The kind of client, by its user agent.
 */
client: string,
/**
 * The user agent, shortened.
 */
user_agent: string,
/**
 * The client's address, by what trusted reverse proxies say of it; none of requests of before the start.
 */
address: string | null,
/**
 * The status; 499 for a client that left, nothing while the request runs.
 */
status: number | null,
/**
 * The code of the error, if there was one.
 */
error_code: string | null,
/**
 * The model as the client named it.
 */
requested_model: string | null,
/**
 * The model that was asked.
 */
effective_model: string | null,
/**
 * The reasoning effort that was asked for.
 */
effort: string | null,
/**
 * The service tier that was asked for; none for the account's default.
 */
service_tier: string | null,
/**
 * Whether the answer was streamed.
 */
stream: boolean,
/**
 * Size of the request's body.
 */
request_bytes: number,
/**
 * Size of the response's body so far.
 */
response_bytes: number,
/**
 * From the request to the first word of the model.
 */
ttft_ms: number | null,
/**
 * From the request to the end of the response.
 */
duration_ms: number | null,
/**
 * Tokens of the prompt.
 */
input_tokens: number,
/**
 * Those of them that were cached.
 */
cached_tokens: number,
/**
 * Tokens of the answer.
 */
output_tokens: number,
/**
 * Whether the tokens are estimates.
 */
estimated: boolean,
/**
 * Function calls in the answer.
 */
tool_calls: number,
/**
 * The worker that ran it.
 */
worker: number | null,
/**
 * Where the thread of Codex comes from: `fresh`, `warm`, `reused` or `parked`.
 */
thread: string | null,
/**
 * `running`, `done`, `failed` or `cancelled`.
 */
state: RequestState,
/**
 * Whether its texts were captured.
 */
has_capture: boolean,
/**
 * Why it was not let in; only of requests that were not.
 */
refusal: Refusal | null,
};

/**
 * Where a request stands.
 */
export type RequestState = "running" | "done" | "failed" | "cancelled";

/**
 * Why a request was not let in.
 */
export type Refusal = {
/**
 * What was wrong.
 */
reason: RefusalReason,
/**
 * The host or the origin that is not allowed.
 */
named: string | null,
/**
 * How many requests like it came, this one included.
 */
count: number,
};

/**
 * What was wrong with a request that was not let in.
 */
export type RefusalReason = "no_key" | "wrong_key" | "host" | "origin" | "unknown_route";

/**
 * Whether texts are being captured.
 */
export type CaptureState = {
/**
 * Whether they are.
 */
active: boolean,
/**
 * The name of the key whose requests are captured; nothing for all.
 */
key: string | null,
/**
 * Until when, in seconds since the epoch.
 */
until: number | null,
};

/**
 * The answer of `GET /control/requests/{id}`: one request with everything that is known of it.
 */
export type RequestDetail = {
/**
 * Its texts, if they were captured.
 */
capture: Captured | null,
/**
 * A line for a shell that sends the same request again, if its body was captured. The key is left to the
 * variable `CODEX_PROXY_KEY`.
 */
curl: string | null,
/**
 * The request's id, as the response header `x-request-id` says it.
 */
id: string,
/**
 * When it came, in milliseconds since the epoch.
 */
at: number,
/**
 * HTTP method.
 */
method: string,
/**
 * The route, without query.
 */
route: string,
/**
 * `responses` or `chat`.
 */
surface: string,
/**
 * The name of the key that was shown.
 */
key: string | null,
/**
 * The kind of client, by its user agent.
 */
client: string,
/**
 * The user agent, shortened.
 */
user_agent: string,
/**
 * The client's address, by what trusted reverse proxies say of it; none of requests of before the start.
 */
address: string | null,
/**
 * The status; 499 for a client that left, nothing while the request runs.
 */
status: number | null,
/**
 * The code of the error, if there was one.
 */
error_code: string | null,
/**
 * The model as the client named it.
 */
requested_model: string | null,
/**
 * The model that was asked.
 */
effective_model: string | null,
/**
 * The reasoning effort that was asked for.
 */
effort: string | null,
/**
 * The service tier that was asked for; none for the account's default.
 */
service_tier: string | null,
/**
 * Whether the answer was streamed.
 */
stream: boolean,
/**
 * Size of the request's body.
 */
request_bytes: number,
/**
 * Size of the response's body so far.
 */
response_bytes: number,
/**
 * From the request to the first word of the model.
 */
ttft_ms: number | null,
/**
 * From the request to the end of the response.
 */
duration_ms: number | null,
/**
 * Tokens of the prompt.
 */
input_tokens: number,
/**
 * Those of them that were cached.
 */
cached_tokens: number,
/**
 * Tokens of the answer.
 */
output_tokens: number,
/**
 * Whether the tokens are estimates.
 */
estimated: boolean,
/**
 * Function calls in the answer.
 */
tool_calls: number,
/**
 * The worker that ran it.
 */
worker: number | null,
/**
 * Where the thread of Codex comes from: `fresh`, `warm`, `reused` or `parked`.
 */
thread: string | null,
/**
 * `running`, `done`, `failed` or `cancelled`.
 */
state: RequestState,
/**
 * Whether its texts were captured.
 */
has_capture: boolean,
/**
 * Why it was not let in; only of requests that were not.
 */
refusal: Refusal | null,
};

/**
 * The texts of one request.
 */
export type Captured = {
/**
 * The client's headers; the values of secret ones are left out.
 */
request_headers: Array<[string, string]>,
/**
 * The client's body.
 */
request_body: string | null,
/**
 * The lines that were written to Codex for it.
 */
sent_to_codex: Array<string>,
/**
 * The body of the response so far.
 */
response_body: string | null,
/**
 * Whether some text was too long to be kept whole.
 */
truncated: boolean,
};

/**
 * The body of `POST /control/capture`.
 */
export type StartCapture = {
/**
 * The name of the key whose requests are captured; none for all.
 */
key: string | null,
/**
 * For how long.
 */
seconds: number,
};

/**
 * The body of `POST /control/try`. The answer is the stream of the Responses API; nothing of it is stored.
 */
export type TryPrompt = {
/**
 * The model to ask.
 */
model: string,
/**
 * What the model is asked.
 */
input: TryInput,
};

/**
 * What a model is asked: a prompt, or a conversation with its answers so far and with images.
 */
export type TryInput = string | Array<Record<string, unknown>>;

/**
 * The answer of `GET /control/usage`.
 */
export type Usage = {
/**
 * Always `usage`.
 */
object: 'usage',
/**
 * The beginning.
 */
start: number,
/**
 * The end, which no longer counts.
 */
end: number,
/**
 * The time zone's name.
 */
tz: string,
/**
 * How `data` is divided.
 */
group: UsageGroup,
/**
 * Everything together.
 */
totals: Totals,
/**
 * The parts: hours and days in their order, without gaps; names by their tokens, the most first.
 */
data: Array<UsageBucket>,
};

/**
 * How an answer about usage is divided.
 */
export type UsageGroup = "hour" | "day" | "model" | "key" | "client";

/**
 * A part of an answer about usage.
 */
export type UsageBucket = {
/**
 * The beginning of the hour or day in ISO 8601 with the zone's offset, or the name.
 */
bucket: string,
/**
 * The id of the key, where it is divided by key and the id is known.
 */
key_id?: string | null,
/**
 * The first second that counts, for an hour or a day.
 */
start: number | null,
/**
 * The first second that no longer counts, for an hour or a day.
 */
end: number | null,
/**
 * All requests.
 */
requests: number,
/**
 * Those that failed; a client that went away is no failure.
 */
errors: number,
/**
 * Those whose client went before the end.
 */
cancelled: number,
/**
 * Tokens of prompts, cached ones included.
 */
input_tokens: number,
/**
 * Tokens of prompts that were read from the upstream's cache.
 */
cached_tokens: number,
/**
 * Tokens of prompts that were written to the upstream's cache.
 */
cache_write_tokens: number,
/**
 * Tokens of answers, those of reasoning included.
 */
output_tokens: number,
/**
 * Tokens of reasoning.
 */
reasoning_tokens: number,
/**
 * Tokens of prompts and answers.
 */
total_tokens: number,
/**
 * Requests whose tokens are estimated, because the vendor did not say; the sums above leave them out.
 */
estimated_requests: number,
/**
 * The tokens of those.
 */
estimated_tokens: number,
/**
 * Mean milliseconds to the first piece of an answer.
 */
avg_ttft_ms: number | null,
/**
 * Mean milliseconds to the end of a request.
 */
avg_duration_ms: number | null,
};

/**
 * What some requests came to. Tokens are the vendor's own counts.
 */
export type Totals = {
/**
 * All requests.
 */
requests: number,
/**
 * Those that failed; a client that went away is no failure.
 */
errors: number,
/**
 * Those whose client went before the end.
 */
cancelled: number,
/**
 * Tokens of prompts, cached ones included.
 */
input_tokens: number,
/**
 * Tokens of prompts that were read from the upstream's cache.
 */
cached_tokens: number,
/**
 * Tokens of prompts that were written to the upstream's cache.
 */
cache_write_tokens: number,
/**
 * Tokens of answers, those of reasoning included.
 */
output_tokens: number,
/**
 * Tokens of reasoning.
 */
reasoning_tokens: number,
/**
 * Tokens of prompts and answers.
 */
total_tokens: number,
/**
 * Requests whose tokens are estimated, because the vendor did not say; the sums above leave them out.
 */
estimated_requests: number,
/**
 * The tokens of those.
 */
estimated_tokens: number,
/**
 * Mean milliseconds to the first piece of an answer.
 */
avg_ttft_ms: number | null,
/**
 * Mean milliseconds to the end of a request.
 */
avg_duration_ms: number | null,
};

/**
 * The answer of `GET /control/store`: the stored responses, conversations and chat completions of all keys.
 */
export type Store = {
/**
 * Whether responses are stored.
 */
state: StoreState,
/**
 * Why the database cannot be used.
 */
reason: string | null,
/**
 * The number of responses.
 */
responses: number,
/**
 * The number of conversations.
 */
conversations: number,
/**
 * The number of chat completions.
 */
chats: number,
/**
 * The bytes of the files.
 */
bytes: number,
/**
 * When the oldest of them was created.
 */
oldest: number | null,
/**
 * When the newest of them was created.
 */
newest: number | null,
};

/**
 * Whether responses are stored.
 */
export type StoreState = "on" | "off" | "broken";

/**
 * The answer of `POST /control/store/prune` and `POST /control/store/clear`.
 */
export type StoreRemoval = {
/**
 * How many responses, conversations and chat completions were removed.
 */
removed: number,
};

/**
 * The answer of `/control/share`: whether other machines of the network can use the proxy.
 */
export type Share = {
/**
 * Whether they can.
 */
on: boolean,
/**
 * The base URL for them, if it is on or should be.
 */
base_url: string | null,
/**
 * The id of the only key that is accepted from them.
 */
key: string | null,
/**
 * The name of this key; none if somebody has removed it.
 */
key_name: string | null,
/**
 * Why it is not on although it should be.
 */
problem: string | null,
/**
 * The private addresses of this machine.
 */
addresses: Array<string>,
};

/**
 * The body of `POST /control/share`.
 */
export type StartShare = {
/**
 * The address of this machine on which the others call it. It has to be private.
 */
address: string,
};

/**
 * The answer of `GET /control/settings`, and of `PATCH`.
 */
export type Settings = {
/**
 * The configuration file, whether or not it is there yet.
 */
file: string | null,
/**
 * Whether something has been changed that takes a start to be in force.
 */
restart_needed: boolean,
/**
 * What is allowed but probably not meant, in sentences for people.
 */
warnings: Array<string>,
/**
 * One entry for each setting.
 */
settings: Array<Setting>,
};

/**
 * One setting.
 */
export type Setting = {
/**
 * Its name, which is its environment variable.
 */
name: string,
/**
 * Its key in the file; `None` if it cannot be set there.
 */
key: string | null,
/**
 * Its value; null if it is secret or has none.
 */
value: SettingValue,
/**
 * Whether anything has set it.
 */
set: boolean,
/**
 * What has.
 */
source: SettingSource,
/**
 * Its value when nothing sets it.
 */
default: SettingValue,
/**
 * What it means.
 */
about: string,
/**
 * The type of its value.
 */
kind: SettingKind,
/**
 * What is allowed, to follow "must be".
 */
allowed: string,
/**
 * Whether its value is never shown.
 */
secret: boolean,
};

/**
 * What has set a setting.
 */
export type SettingSource = "default" | "file" | "environment" | "flag";

/**
 * The type of a setting's value.
 */
export type SettingKind = "boolean" | "integer" | "string" | "list";

/**
 * The answer of `GET /control/models`.
 */
export type ModelList = {
/**
 * The id that stands for the default model.
 */
default: string | null,
/**
 * The models, in the order of Codex's catalogue.
 */
models: Array<Model>,
};

/**
 * One model.
 */
export type Model = {
/**
 * Its id.
 */
id: string,
/**
 * The other ids that lead to it.
 */
aliases: Array<string>,
/**
 * The model that is asked.
 */
target: string | null,
/**
 * The reasoning efforts that it has.
 */
efforts: Array<string>,
/**
 * The effort that it has unless another is asked for.
 */
default_effort: string | null,
/**
 * What it is, in the vendor's words.
 */
description: string | null,
/**
 * Whether Codex hides it from people.
 */
hidden: boolean,
/**
 * What it reads: `text`, `image`.
 */
input_modalities: Array<string>,
/**
 * Whether it can be given function tools.
 */
supports_tools: boolean,
};

/**
 * The answer of `GET /control/logs`: the end of the log.
 */
export type LogTail = {
/**
 * The log file, if there is one.
 */
file: string | null,
/**
 * Its last lines, oldest first.
 */
lines: Array<string>,
};

/**
 * The answer of `GET` and `PUT /control/logs/level`.
 */
export type LogLevel = {
/**
 * What is logged, in the syntax of `RUST_LOG`.
 */
filter: string,
};

/**
 * The body of `PUT /control/logs/level`.
 */
export type SetLogLevel = {
/**
 * What is logged from now on, in the syntax of `RUST_LOG`.
 */
filter: string,
};

/**
 * One entry of the answer of `GET /control/clients`: one program's settings.
 */
export type ClientConfig = {
/**
 * Which program.
 */
id: string,
/**
 * Its file.
 */
config_file: string,
/**
 * Whether that is there.
 */
exists: boolean,
/**
 * Whether it leads to this proxy.
 */
configured: boolean,
/**
 * Whether the proxy has changed it, so that this can be taken back.
 */
can_undo: boolean,
};

/**
 * The answer of `POST /control/clients/{id}/preview`: what would change in the file.
 */
export type Preview = {
/**
 * As `diff -u` writes it; empty if nothing would. What looks like a secret is masked.
 */
diff: string,
};

/**
 * The answer of `POST /control/clients/{id}/apply`: what was done.
 */
export type Applied = {
/**
 * Where the file is kept as it was, if there was one.
 */
backup: string | null,
};

/**
 * The body of `preview` and `apply`.
 */
export type SetUpFor = {
/**
 * For which key the program is to be set up. No file is given its text, but the key has to be there.
 */
key_id?: string | null,
};

/** What stands in place of a key's name where a prompt was tried in the window. */
export const WINDOW_KEY = 'window';

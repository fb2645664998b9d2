/**
 * Every setting, declared once: its key in writ.yaml, its environment names (the first is the one that messages use; documented names of
 * the systems that Writ replaces keep their meaning), its kind, default and description. The flag is the key with dashes: `--data-dir`.
 */
import path from 'node:path'
import { tokensOfRoles } from './configured-tokens.ts'
import { Secret } from './platform/secret.ts'
import {
  choice,
  choices,
  type DatabaseAddress,
  databaseUrl,
  destinations,
  endpoint,
  file,
  hostName,
  httpUrl,
  integer,
  issuerUrl,
  type Kind,
  networks,
  networksOrAll,
  origins,
  postgresUrl,
  publicUrl,
  redisUrl,
  secret,
  share,
  smtpUrl,
  text,
  urlPath,
  variableNames,
  yesOrNo,
} from './setting-kinds.ts'

/** What a default may depend on. */
export type Surroundings = { cwd: string; dataDir: string }

export type Setting<T, D extends T | undefined = T | undefined> = {
  key: string
  env: readonly string[]
  kind: Kind<T>
  /** Left out: the setting is optional and its value undefined. */
  default?: D | ((around: Surroundings) => D)
  description: string
}

function required<T>(
  key: string,
  env: string[],
  kind: Kind<T>,
  byDefault: NoInfer<T> | ((around: Surroundings) => NoInfer<T>),
  description: string,
): Setting<T, T> {
  return { key, env, kind, default: byDefault, description }
}

function optional<T>(key: string, env: string[], kind: Kind<T>, description: string): Setting<T, undefined> {
  return { key, env, kind, description }
}

const inData = (name: string) => (around: Surroundings) => path.join(around.dataDir, name)
const sqliteInData = (around: Surroundings): DatabaseAddress => ({
  kind: 'sqlite',
  file: path.join(around.dataDir, 'writ.db'),
})

/** What a server process may do. */
export const allRoles = ['api', 'worker', 'scheduler', 'sequencer'] as const

export const settings = {
  host: required(
    'host',
    ['HOST', 'SERVER_HOST'],
    hostName,
    '127.0.0.1',
    'Address to listen on. Anything but loopback needs SECRET_KEY.',
  ),
  port: required('port', ['PORT'], integer(0, 65_535), 8000, 'Port to listen on; 0 takes a free one.'),
  publicUrl: optional(
    'public_url',
    ['WRIT_PUBLIC_URL'],
    publicUrl,
    'The URL users type, with a path if the server stands below one of its host. Sets the origin of cookies and passkeys.',
  ),
  apiPrefix: required('api_prefix', ['API_V1_PREFIX'], urlPath, '/api/v1', 'Where the API is mounted.'),
  projectName: required('project_name', ['PROJECT_NAME'], text, 'Writ', 'Title of the API and the console.'),
  environment: required(
    'environment',
    ['ENVIRONMENT'],
    choice('development', 'staging', 'production'),
    'development',
    'What this installation is for.',
  ),
  dataDir: required(
    'data_dir',
    ['WRIT_DATA_DIR', 'DATA_DIR'],
    file,
    ({ cwd }) => path.join(cwd, 'data'),
    'Where everything is kept that has no place of its own.',
  ),
  roles: required(
    'roles',
    ['WRIT_ROLES'],
    choices(...allRoles),
    allRoles,
    'What this process does, where several share one PostgreSQL.',
  ),
  shutdownGraceSeconds: required(
    'shutdown_grace_seconds',
    ['WRIT_SHUTDOWN_GRACE_SECONDS'],
    integer(0, 3_600, 'seconds'),
    30,
    'How long a stop waits for work to finish.',
  ),

  database: required(
    'database.url',
    ['DATABASE_URL'],
    databaseUrl,
    sqliteInData,
    'Where rows are kept. Left out: SQLite, writ.db in the data directory.',
  ),
  migrationUrl: optional(
    'database.migration_url',
    ['WRIT_MIGRATION_URL'],
    postgresUrl,
    "The schema owner's PostgreSQL URL, so that the server itself need not own the tables.",
  ),

  secretKey: optional(
    'auth.secret_key',
    ['SECRET_KEY'],
    secret(32),
    'Signs access tokens, and seals what has to be known in clear. Generated in the data directory on loopback.',
  ),
  secretKeyPrevious: optional(
    'auth.secret_key_previous',
    ['SECRET_KEY_PREVIOUS'],
    secret(32),
    'The key before: during a rotation tokens that it signed stay valid, and what it sealed is sealed anew.',
  ),
  algorithm: required(
    'auth.algorithm',
    ['ALGORITHM'],
    choice('HS256', 'HS384', 'HS512', 'EdDSA'),
    'HS256',
    'How access tokens are signed.',
  ),
  accessTokenMinutes: required(
    'auth.access_token_minutes',
    ['ACCESS_TOKEN_EXPIRE_MINUTES'],
    integer(1, 525_600, 'minutes'),
    30,
    'How long an access token lives.',
  ),
  registration: required(
    'auth.registration',
    ['WRIT_REGISTRATION'],
    choice('closed', 'open'),
    'closed',
    'Whether anybody may register.',
  ),
  adminUsername: required(
    'auth.admin_username',
    ['WRIT_ADMIN_USERNAME'],
    text,
    'admin',
    'Name of the first administrator.',
  ),
  adminPassword: optional(
    'auth.admin_password',
    ['WRIT_ADMIN_PASSWORD'],
    secret(),
    'Password of the first administrator; otherwise a one-time password is printed.',
  ),

  oidcIssuer: optional(
    'oidc.issuer',
    ['WRIT_OIDC_ISSUER'],
    issuerUrl,
    'Identity provider (OpenID Connect) that people may log in at.',
  ),
  oidcClientId: optional('oidc.client_id', ['WRIT_OIDC_CLIENT_ID'], text, 'How the provider knows Writ.'),
  oidcClientSecret: optional(
    'oidc.client_secret',
    ['WRIT_OIDC_CLIENT_SECRET'],
    secret(),
    'Its secret; left out for a public client.',
  ),
  oidcScopes: required(
    'oidc.scopes',
    ['WRIT_OIDC_SCOPES'],
    text,
    'openid profile email',
    'What Writ asks the provider for, separated by blanks; openid is needed.',
  ),
  oidcUsernameClaim: required(
    'oidc.username_claim',
    ['WRIT_OIDC_USERNAME_CLAIM'],
    text,
    'preferred_username',
    'Claim that names the account. People must not be able to choose its value themselves.',
  ),
  oidcAutoCreate: required(
    'oidc.auto_create',
    ['WRIT_OIDC_AUTO_CREATE'],
    yesOrNo,
    false,
    'Whether somebody unknown gets an account, as employee in the project default.',
  ),

  artifactStorage: required(
    'artifacts.storage',
    ['ARTIFACT_STORAGE_TYPE'],
    choice('local', 'minio', 's3'),
    'local',
    'Where artifact bytes are kept.',
  ),
  artifactPath: required(
    'artifacts.path',
    ['ARTIFACT_STORAGE_PATH'],
    file,
    inData('blobs'),
    'Folder of the local store. Left out: blobs in the data directory.',
  ),
  maxArtifactMb: required(
    'artifacts.max_size_mb',
    ['MAX_ARTIFACT_SIZE_MB'],
    integer(1, 5_242_880, 'mebibytes'),
    100,
    'Largest artifact.',
  ),
  minioEndpoint: optional(
    'minio.endpoint',
    ['MINIO_ENDPOINT'],
    endpoint,
    'Address of the MinIO (or other S3-compatible) server.',
  ),
  minioAccessKey: optional('minio.access_key', ['MINIO_ACCESS_KEY'], secret(), 'Access key.'),
  minioSecretKey: optional('minio.secret_key', ['MINIO_SECRET_KEY'], secret(), 'Secret key.'),
  minioBucket: optional('minio.bucket', ['MINIO_BUCKET'], text, 'Bucket; made if it is not there.'),
  minioRegion: required('minio.region', ['MINIO_REGION'], text, 'us-east-1', 'Region.'),
  s3Endpoint: optional('s3.endpoint', ['S3_ENDPOINT'], endpoint, "Endpoint; left out, Amazon's own for the region."),
  s3AccessKey: optional(
    's3.access_key',
    ['S3_ACCESS_KEY'],
    secret(),
    "Access key; left out, the AWS SDK's own sources are used.",
  ),
  s3SecretKey: optional('s3.secret_key', ['S3_SECRET_KEY'], secret(), 'Secret key.'),
  s3Bucket: optional('s3.bucket', ['S3_BUCKET'], text, 'Bucket; has to exist.'),
  s3Region: required('s3.region', ['S3_REGION'], text, 'us-east-1', 'Region.'),

  auditPath: required(
    'audit.path',
    ['AUDIT_LOG_PATH'],
    file,
    inData('audit'),
    'Folder of the daily audit files. Left out: audit in the data directory.',
  ),
  checkpointIntervalMs: required(
    'audit.checkpoint_interval_ms',
    ['WRIT_CHECKPOINT_INTERVAL_MS'],
    integer(10, 60_000, 'milliseconds'),
    250,
    'How often a checkpoint is signed while events come in.',
  ),
  logRotateDays: required(
    'audit.log_rotate_days',
    ['WRIT_LOG_ROTATE_DAYS'],
    integer(0, 3_660, 'days'),
    0,
    'Age at which a log is closed and continued in a new one, which retention can drop as a whole; 0 is never.',
  ),
  logRotateEntries: required(
    'audit.log_rotate_entries',
    ['WRIT_LOG_ROTATE_ENTRIES'],
    integer(0, 1_000_000_000, 'entries'),
    0,
    'Size at which the same happens; 0 is never.',
  ),
  selfCheckMinutes: required(
    'audit.self_check_minutes',
    ['WRIT_SELF_CHECK_MINUTES'],
    integer(0, 10_080, 'minutes'),
    60,
    'How often rows, log, commitments and day files are compared; 0 is never.',
  ),

  logStorage: required(
    'audit.storage',
    ['WRIT_LOG_STORAGE'],
    choice('local', 'minio', 's3'),
    'local',
    'Where tiles and checkpoints of the logs are kept; the stores are described by the minio and s3 settings.',
  ),
  instanceLogAccess: required(
    'audit.instance_log_access',
    ['WRIT_INSTANCE_LOG_ACCESS'],
    choice('members', 'public'),
    'members',
    "Whether anybody may read the instance's log under /log; members means its administrators.",
  ),
  witnessPolicy: optional(
    'witness.policy',
    ['WRIT_WITNESS_POLICY'],
    file,
    'A C2SP tlog-policy file: witnesses with their addresses, and the quorum. Left out: no witness is asked.',
  ),
  witnessProjects: required(
    'witness.projects',
    ['WRIT_WITNESS_PROJECTS'],
    yesOrNo,
    false,
    'Whether witnesses are asked about the logs of projects too, not only about the log of the instance.',
  ),
  witnessIntervalMs: required(
    'witness.interval_ms',
    ['WRIT_WITNESS_INTERVAL_MS'],
    integer(20, 3_600_000, 'milliseconds'),
    5_000,
    'How often witnesses are asked while a log grows.',
  ),

  runTimeoutSeconds: required(
    'runs.timeout_seconds',
    ['RUN_TIMEOUT_SECONDS'],
    integer(1, 604_800, 'seconds'),
    300,
    'How long a run may take.',
  ),
  proofSettleSeconds: required(
    'runs.proof_settle_seconds',
    ['WRIT_PROOF_SETTLE_SECONDS'],
    integer(0, 3_600, 'seconds'),
    1,
    'How long after the last upload a proof is checked.',
  ),

  taskConcurrency: required(
    'tasks.concurrency',
    ['WRIT_TASK_CONCURRENCY'],
    integer(1, 10_000),
    100,
    'How many tasks of one queue this server does at once; of all queues together ten times as many.',
  ),

  handlersDir: optional(
    'handlers.dir',
    ['WRIT_HANDLERS_DIR'],
    file,
    'Folder whose .ts, .mjs and .js files are handlers; watched.',
  ),
  handlersEnv: required(
    'handlers.env',
    ['WRIT_HANDLERS_ENV'],
    variableNames,
    [],
    'Names of environment variables that handlers of the folder see; all others are kept from them.',
  ),
  handlersProcesses: required(
    'handlers.processes',
    ['WRIT_HANDLERS_PROCESSES'],
    integer(1, 256),
    4,
    'Processes in which handlers of the folder run, one task each at a time.',
  ),
  handlersMaxTasks: required(
    'handlers.max_tasks',
    ['WRIT_HANDLERS_MAX_TASKS'],
    integer(1, 1_000_000),
    1_000,
    'After how many tasks such a process is replaced.',
  ),
  handlersMemoryMb: required(
    'handlers.memory_mb',
    ['WRIT_HANDLERS_MEMORY_MB'],
    integer(96, 65_536, 'megabytes'),
    512,
    'Memory of such a process; one that takes more is ended.',
  ),

  queueBackend: required(
    'queue.backend',
    ['QUEUE_BACKEND'],
    choice('database', 'memory', 'redis'),
    'database',
    "The database's own queue, one in memory, or Redis.",
  ),
  redisUrl: required(
    'queue.redis_url',
    ['REDIS_URL'],
    redisUrl,
    new Secret('redis://localhost:6379/0'),
    'Used when the queue backend is redis.',
  ),

  allowedIps: required('network.allowed_ips', ['ALLOWED_IPS'], networksOrAll, '*', 'Who may connect.'),
  trustedProxies: required(
    'network.trusted_proxies',
    ['WRIT_TRUSTED_PROXIES'],
    networks,
    [],
    'Proxies whose X-Forwarded-* headers are believed.',
  ),
  corsOrigins: required(
    'network.cors_origins',
    ['WRIT_CORS_ORIGINS'],
    origins,
    [],
    'Other origins whose pages may call the API.',
  ),
  egressAllow: required(
    'network.egress_allow',
    ['WRIT_EGRESS_ALLOW'],
    destinations,
    [],
    'Private addresses and names that webhooks and tools may reach: of every project, or with @ and its slug of one.',
  ),
  webhookTimeoutSeconds: required(
    'network.webhook_timeout_seconds',
    ['WRIT_WEBHOOK_TIMEOUT_SECONDS'],
    integer(1, 60, 'seconds'),
    15,
    'How long the receiver of a webhook may take to answer.',
  ),
  smtpUrl: optional('mail.smtp_url', ['WRIT_SMTP_URL'], smtpUrl, 'The mail server that notices are sent with.'),
  smtpFrom: optional('mail.from', ['WRIT_SMTP_FROM'], text, 'Whom e-mail comes from: Writ <writ@example.com>.'),
  streamHeartbeatSeconds: required(
    'network.stream_heartbeat_seconds',
    ['WRIT_STREAM_HEARTBEAT_SECONDS'],
    integer(1, 20, 'seconds'),
    15,
    'How often a stream of events says that it lives; less than the idle limit of any proxy on the way.',
  ),
  apiRateLimit: required(
    'network.api_rate_limit',
    ['WRIT_API_RATE_LIMIT'],
    integer(0, 1_000_000, 'requests'),
    0,
    'Requests a minute and client, at each server; 0 is no limit.',
  ),

  otlpUrl: optional(
    'tracing.otlp_url',
    ['OTEL_EXPORTER_OTLP_ENDPOINT'],
    httpUrl,
    'Collector of OpenTelemetry traces (OTLP over HTTP), without /v1/traces; without one nothing is recorded.',
  ),
  otlpHeaders: optional(
    'tracing.otlp_headers',
    ['OTEL_EXPORTER_OTLP_HEADERS'],
    secret(),
    'Headers for the collector: name=value, with commas between.',
  ),
  otelServiceName: required(
    'tracing.service_name',
    ['OTEL_SERVICE_NAME'],
    text,
    'writ',
    'Name of this server in traces.',
  ),
  tracesShare: required(
    'tracing.share',
    ['OTEL_TRACES_SAMPLER_ARG'],
    share,
    1,
    'Of the traces that begin here, how many are recorded; those that a caller records are all recorded.',
  ),

  logLevel: required(
    'log.level',
    ['LOG_LEVEL'],
    choice('debug', 'info', 'warning', 'error'),
    'info',
    'Least level that is logged.',
  ),
  logFormat: required(
    'log.format',
    ['LOG_FORMAT'],
    choice('text', 'json'),
    'text',
    'Lines for people or for machines.',
  ),
} as const

/** Settings of the dispatch door, as its documentation names them. */
export const dispatchSettings = {
  port: optional(
    'dispatch.port',
    ['SERVER_PORT'],
    integer(0, 65_535),
    'A port of its own for the dispatch door, beside the main one.',
  ),
  rateLimitMax: required(
    'dispatch.rate_limit_max',
    ['RATE_LIMIT_MAX'],
    integer(0, 1_000_000, 'dispatches'),
    30,
    'Dispatches of one task by one token in one window, at each server; 0 is no limit.',
  ),
  rateLimitWindow: required(
    'dispatch.rate_limit_window',
    ['RATE_LIMIT_WINDOW'],
    integer(1, 86_400, 'seconds'),
    60,
    'Length of the window.',
  ),
  scriptsDir: optional(
    'dispatch.scripts_dir',
    ['WRIT_SCRIPTS_DIR'],
    file,
    'Folder whose scripts `script.execute` runs; without one it refuses.',
  ),
  scriptsNetwork: required(
    'dispatch.scripts_network',
    ['WRIT_SCRIPTS_NETWORK'],
    yesOrNo,
    false,
    'Whether scripts may use the network.',
  ),
  scriptsSandbox: optional(
    'dispatch.scripts_sandbox',
    ['WRIT_SCRIPTS_SANDBOX'],
    choice('bubblewrap', 'process'),
    'What holds scripts; the best that works on this host when left out.',
  ),
  maxConcurrentScripts: required(
    'dispatch.max_concurrent_scripts',
    ['MAX_CONCURRENT_SCRIPTS'],
    integer(1, 1_024),
    3,
    'Scripts that run at once.',
  ),
  scriptTimeoutSeconds: required(
    'dispatch.script_timeout_seconds',
    ['SCRIPT_TIMEOUT_SECONDS'],
    integer(1, 604_800, 'seconds'),
    300,
    'How long a script may take.',
  ),
  apiTokens: optional(
    'dispatch.api_tokens',
    ['API_TOKENS'],
    tokensOfRoles,
    'Tokens of the dispatch door: a JSON object of token to role, or tokens with commas between. Better: writ token create.',
  ),
  apiToken: optional('dispatch.api_token', ['API_TOKEN'], secret(), 'One token of the dispatch door.'),
  apiRole: required(
    'dispatch.api_role',
    ['API_ROLE'],
    text,
    'public',
    'Role of API_TOKEN, and of tokens without one in API_TOKENS.',
  ),
  feishuAppId: optional('dispatch.feishu_app_id', ['FEISHU_APP_ID'], text, 'Feishu application.'),
  feishuUrl: required(
    'dispatch.feishu_url',
    ['FEISHU_URL'],
    httpUrl,
    'https://open.feishu.cn',
    "Where Feishu's API is; Lark's is https://open.larksuite.com.",
  ),
  feishuAppSecret: optional('dispatch.feishu_app_secret', ['FEISHU_APP_SECRET'], secret(), 'Its secret.'),
  retryMax: optional('dispatch.retry_max', ['RETRY_MAX'], integer(0, 100), 'Retries of a dispatched task.'),
  logDir: required(
    'dispatch.log_dir',
    ['LOG_DIR'],
    file,
    inData('logs'),
    'Folder of log files. Left out: logs in the data directory.',
  ),
  logToFile: required('dispatch.log_to_file', ['LOG_TO_FILE'], yesOrNo, true, 'Whether logs go to files too.'),
  logMaxMb: required(
    'dispatch.log_max_mb',
    ['LOG_MAX_BYTES'],
    integer(1, 10_240, 'megabytes'),
    5,
    'Size at which a log file is rotated; megabytes, whatever its old name says.',
  ),
  serverLogLevel: optional(
    'dispatch.server_log_level',
    ['SERVER_LOG_LEVEL'],
    choice('critical', 'error', 'warning', 'info', 'debug', 'trace'),
    'Least level that is logged of requests, which are of level info.',
  ),
  accessLog: required(
    'dispatch.access_log',
    ['SERVER_ACCESS_LOG'],
    yesOrNo,
    false,
    'Whether each request is logged, with its status, time and trace.',
  ),
  reload: required('dispatch.reload', ['SERVER_RELOAD'], yesOrNo, true, 'Accepted; sources are not reloaded.'),
  reloadExcludeScripts: required(
    'dispatch.reload_exclude_scripts',
    ['SERVER_RELOAD_EXCLUDE_SCRIPTS'],
    yesOrNo,
    false,
    'Accepted.',
  ),
  configHotReload: required(
    'dispatch.config_hot_reload',
    ['CONFIG_HOT_RELOAD'],
    yesOrNo,
    true,
    'Whether changes of `.env` and writ.yaml are read while the server runs: RATE_LIMIT_MAX, RATE_LIMIT_WINDOW and ALLOWED_IPS count at once.',
  ),
  container: required(
    'dispatch.container',
    ['CONTAINER_ENV'],
    yesOrNo,
    false,
    'Accepted; Writ ends no other process to get a port.',
  ),
} as const

/** The value that a declared setting has in a loaded configuration. */
export type ValueOf<S> = S extends Setting<infer T, infer D> ? (undefined extends D ? T | undefined : T) : never

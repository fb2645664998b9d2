import type { ErrorCode } from '@writ/api'

/** What a person does after an error: in English, its meaning in Chinese, and what to do in Chinese. */
export type Remedy = readonly [what: string, meaning: string, action: string]

/** Headings, each before the code with which its part of the error table begins. */
export const parts: Partial<Record<ErrorCode, readonly [english: string, chinese: string]>> = {
  VALIDATION_FAILED: ['The request itself', '请求本身'],
  NOT_AUTHENTICATED: ['Who asks', '身份与权限'],
  USER_NOT_FOUND: ['Things that are not there', '对象不存在'],
  PROJECT_EXISTS: ['Projects, policies and approvals', '项目、策略与审批'],
  SIGNATURE_REQUIRED: ['Signatures of people', '个人签名'],
  SERIAL_TAKEN: ['Assets and tickets', '资产与工单'],
  RUN_VIEW_DENIED: ['Runs and evidence', '执行与证据'],
  SECRET_IN_ARTIFACT: ['Privacy', '隐私'],
  WEBHOOK_NOT_FOUND: ['Webhooks and events', 'Webhook 与事件'],
  TASK_NOT_FOUND: ['Tasks and queues', '任务与队列'],
  DATABASE_UNAVAILABLE: ['The server', '服务器'],
}

/** One line for each code of the error table; a code without one does not compile. */
export const remedies: Record<ErrorCode, Remedy> = {
  VALIDATION_FAILED: [
    '`errors[]` names each field and what is wrong with it. Unknown fields are refused too; correct the spelling or leave them out.',
    '请求不符合该接口的数据结构。',
    '查看 `errors[]`，里面逐个列出字段和原因。未知字段同样会被拒绝，请改正拼写或删除。',
  ],
  REQUEST_MALFORMED: [
    'Let a library or curl write the request: `Content-Length`, `Transfer-Encoding` or a header do not fit what was sent.',
    '这不是合法的 HTTP 请求。',
    '请使用库或 curl 发送请求：`Content-Length`、`Transfer-Encoding` 或某个请求头与实际发送的内容不符。',
  ],
  REQUEST_TIMEOUT: [
    'Send the headers without a pause; connections on which nothing comes are ended.',
    '请求没有及时送达。',
    '请一次发送完请求头；长时间没有数据的连接会被关闭。',
  ],
  HEADERS_TOO_LARGE: [
    'Headers may have 16 KiB; cookies of other sites on the same host are the usual cause.',
    '请求头过大。',
    '请求头上限为 16 KiB；通常是同一主机上其他站点的 cookie 过多。',
  ],
  BODY_INVALID: [
    'Send well-formed JSON, and a `Content-Length` that fits.',
    '请求体不是合法的 JSON。',
    '发送合法的 JSON，并确认 `Content-Length` 正确。',
  ],
  BODY_TOO_LARGE: [
    'Bodies other than uploads may have 1 MiB. Send files as artifacts.',
    '请求体过大。',
    '除上传外，请求体上限为 1 MiB；文件请用 `POST /artifacts` 上传。',
  ],
  MEDIA_TYPE_UNSUPPORTED: [
    'Send `application/json` in UTF-8, packed with gzip, deflate or br if at all; to the upload `multipart/form-data`, not packed.',
    '不支持该内容类型或内容编码。',
    '使用 UTF-8 的 `application/json`，如需压缩只用 gzip、deflate 或 br；上传接口使用不压缩的 `multipart/form-data`。',
  ],
  FILE_MISSING: [
    'Send one multipart part named `file` (curl: `-F file=@name`).',
    '缺少名为 `file` 的 multipart 部分。',
    '上传时带上一个名为 `file` 的部分（curl：`-F file=@文件名`）。',
  ],
  FILES_TOO_MANY: [
    'Send each file in a request of its own, all to the same `run_id`.',
    '一次上传只能带一个文件，什么都没有保存。',
    '每个文件单独发送一个请求，使用相同的 `run_id`。',
  ],
  MULTIPART_INVALID: [
    'Let a library or curl write the form: the `Content-Type` names the boundary, every part begins with it, and the last ends with it and `--`. Bodies are not sent compressed.',
    '请求体不是合法的 multipart 表单，什么都没有保存。',
    '请使用库或 curl 生成表单：`Content-Type` 中给出 boundary，每个部分以它开头，最后以它加 `--` 结束。请求体不要压缩。',
  ],
  VERSION_DIFFERS: [
    'Somebody changed it since you read it. Read it again, look at what is different, and send the change with its new `ETag`.',
    '它已不是 `If-Match` 所指的版本；未作任何改动。',
    '读取之后有人改过它。请重新读取，查看差异，再带上新的 `ETag` 提交。',
  ],
  CURSOR_INVALID: [
    'Start again with an empty `cursor=`, and keep the filters the same on every page.',
    '游标不属于这个列表，或筛选条件已改变。',
    '从空的 `cursor=` 重新开始，翻页期间保持筛选条件不变。',
  ],
  ROUTE_NOT_FOUND: [
    'Check path and prefix (`/api/v1` unless configured); the API pages list every path.',
    '没有这个路径。',
    '检查路径和前缀（默认 `/api/v1`）；API 文档页列出了所有路径。',
  ],
  METHOD_NOT_ALLOWED: [
    'The `Allow` header names the methods of this path.',
    '该路径不支持此方法。',
    '`Allow` 响应头列出了可用的方法。',
  ],
  RATE_LIMITED: [
    'Wait for `Retry-After` seconds. On login it means too many wrong passwords for this name or address.',
    '请求过于频繁。',
    '等待 `Retry-After` 秒后重试。登录时出现，表示该用户名或地址的密码错误次数过多。',
  ],
  IP_NOT_ALLOWED: [
    'An operator adds the address to `ALLOWED_IPS`; behind a proxy, `WRIT_TRUSTED_PROXIES` must name the proxy.',
    '来源地址不在允许列表中。',
    '由运维人员把地址加入 `ALLOWED_IPS`；若前面有代理，还要在 `WRIT_TRUSTED_PROXIES` 中写明代理。',
  ],
  IDEMPOTENCY_KEY_INVALID: [
    'Use a UUID, for instance.',
    'Idempotency-Key 格式不合法。',
    '使用 1 至 200 个可见 ASCII 字符，例如一个 UUID。',
  ],
  IDEMPOTENCY_MISMATCH: [
    'A key belongs to one request. Take a new key for another body.',
    '同一个 Idempotency-Key 已用于另一个请求体。',
    '一个键只对应一个请求；请求体不同就换一个新键。',
  ],
  IDEMPOTENCY_IN_FLIGHT: [
    'Wait a moment and send the same request again.',
    '使用该键的请求仍在处理中。',
    '稍等片刻，原样重发。',
  ],
  SECRET_SHOWN_ONCE: [
    'The first attempt succeeded; `X-Resource-Id` names what it made. If the secret is lost, revoke it and make another.',
    '该请求已执行过；其中的密钥只显示一次，不会保存。',
    '第一次已经成功，`X-Resource-Id` 是其结果。若密钥丢失，请吊销后重新创建。',
  ],

  NOT_AUTHENTICATED: [
    'Send `Authorization: Bearer`, `X-API-Token` or `X-API-Key`.',
    '未登录。',
    '带上 `Authorization: Bearer`、`X-API-Token` 或 `X-API-Key`。',
  ],
  CREDENTIALS_INVALID: [
    'The token is wrong, expired or revoked: log in again, or make a new token.',
    '凭据无效。',
    '令牌错误、过期或已吊销：重新登录，或新建令牌。',
  ],
  LOGIN_FAILED: [
    'Name, password, one-time code or account is not right; which of them is not told. The audit log of the instance has the reason.',
    '用户名或密码错误。',
    '用户名、密码、动态码或账户状态有误，出于安全不说明是哪一项；实例审计日志中有具体原因。',
  ],
  TOTP_REQUIRED: ['Send the current code as `totp`.', '该账户需要动态码。', '在 `totp` 字段中附上当前动态码。'],
  USER_INACTIVE: ['An administrator must activate the account.', '账户已停用。', '由管理员重新启用。'],
  PASSWORD_CHANGE_REQUIRED: [
    'Change the one-time password with POST /auth/password, then go on.',
    '必须先修改一次性密码。',
    '调用 POST /auth/password 修改密码后再继续。',
  ],
  CSRF_FAILED: [
    'With a session cookie, send the token that login answered as `X-CSRF-Token`, from a page of the same origin. Behind a proxy set `WRIT_PUBLIC_URL` to the address that users type.',
    'X-CSRF-Token 或 Origin 与会话不符。',
    '使用会话 Cookie 时，从同源页面发送请求，并带上登录时返回的 `X-CSRF-Token`。在代理之后，把 `WRIT_PUBLIC_URL` 设为用户输入的地址。',
  ],
  OIDC_NOT_CONFIGURED: [
    'Log in with a password, or set `WRIT_OIDC_ISSUER` and `WRIT_OIDC_CLIENT_ID`.',
    '本服务器没有配置身份提供方（OIDC）。',
    '使用密码登录，或设置 `WRIT_OIDC_ISSUER` 与 `WRIT_OIDC_CLIENT_ID`。',
  ],
  OIDC_FAILED: [
    'Begin again at `/auth/oidc/start`. The sentence says what was missing; the server log says what the provider answered.',
    '通过身份提供方登录未成功。',
    '从 `/auth/oidc/start` 重新开始。提示文字说明缺少什么，服务器日志里有提供方的具体回答。',
  ],
  COOKIE_NEEDS_TLS: [
    'Use HTTPS, or localhost, or a bearer token. Behind a TLS proxy set `WRIT_TRUSTED_PROXIES`.',
    'Cookie 登录需要 HTTPS 或 localhost。',
    '改用 HTTPS、localhost 或 Bearer 令牌；若前面有 TLS 代理，请设置 `WRIT_TRUSTED_PROXIES`。',
  ],
  ADMIN_REQUIRED: ['Ask an admin of the project.', '需要项目管理员角色。', '请项目管理员操作。'],
  ROLE_NOT_ALLOWED: [
    'Ask an admin for another role, or somebody who has it.',
    '你的角色不允许此操作。',
    '请管理员调整角色，或请有权限的人操作。',
  ],
  SCOPE_NOT_ALLOWED: [
    'Make a token whose scopes cover this operation.',
    '该令牌没有此操作的范围（scope）。',
    '创建一个包含该范围的令牌。',
  ],
  INSTANCE_ADMIN_REQUIRED: [
    'Ask an instance administrator: the account or setting reaches beyond this project.',
    '需要实例管理员。',
    '请实例管理员操作：该账户或设置超出了本项目的范围。',
  ],
  NOT_A_MEMBER: [
    'Check `X-Project`; an admin of the project adds you. A project that does not exist answers alike.',
    '你不是该项目的成员。',
    '检查 `X-Project`，或请项目管理员添加你。项目不存在时回答相同。',
  ],
  SESSION_REQUIRED: [
    'Log in with name and password, in the console or with `writ login`, and send that session.',
    'API 令牌不能更改其所属的账号。',
    '请用用户名和密码登录（控制台或 `writ login`），并使用该会话。',
  ],
  TOKEN_FOREIGN_PROJECT: [
    'Use a token of that project, or leave `X-Project` out.',
    '该令牌属于另一个项目。',
    '使用该项目的令牌，或去掉 `X-Project`。',
  ],
  TOKEN_IP_NOT_ALLOWED: [
    'Call from an address in the ranges of the token, or make another token.',
    '该令牌不允许从此地址使用。',
    '从令牌允许的地址段访问，或新建令牌。',
  ],
  REGISTRATION_CLOSED: ['Ask an admin for an invitation.', '注册已关闭。', '请管理员发送邀请。'],
  INVITE_INVALID: [
    'Ask for a new invitation, and register with the address it was made for.',
    '邀请码未知、已使用、已过期，或邀请人已无权邀请。',
    '请重新邀请，并使用邀请所对应的邮箱。',
  ],
  USERNAME_TAKEN: [
    'Choose another name; upper and lower case do not differ.',
    '用户名已存在。',
    '换一个用户名（不区分大小写）。',
  ],
  EMAIL_TAKEN: [
    'Use another address, or have the password of the existing account reset.',
    '邮箱已注册。',
    '换一个邮箱，或请管理员重置原账户的密码。',
  ],
  PASSWORD_WEAK: [
    'Take a longer one, not a common one, not the user name, and not the one before.',
    '密码太弱。',
    '使用 10 至 256 个字符，不要用常见密码、用户名或原密码。',
  ],
  PASSWORD_WRONG: ['Type the current password again.', '当前密码不正确。', '重新输入当前密码。'],
  TOTP_INVALID: [
    'Wait for the next code; each works once. Check the clock of the phone.',
    '动态码不正确。',
    '等下一个动态码（每个只能用一次），并检查手机时间。',
  ],
  TOTP_ALREADY_ON: [
    'Switch it off with POST /auth/totp/off first.',
    '动态码已启用。',
    '先调用 POST /auth/totp/off 关闭。',
  ],
  LAST_ADMIN: ['Name another administrator first.', '操作后将没有管理员。', '先指定另一位管理员。'],

  USER_NOT_FOUND: [
    'Check id or number; you see members of this project only.',
    '用户不存在。',
    '检查 ID 或编号；只能看到本项目的成员。',
  ],
  TOKEN_NOT_FOUND: [
    'It is unknown, revoked, expired, or not yours.',
    '令牌不存在。',
    '令牌未知、已吊销、已过期，或不属于你。',
  ],
  SESSION_NOT_FOUND: ['It has ended already, or is not yours.', '会话不存在。', '会话已结束，或不属于你。'],
  INVITE_NOT_FOUND: ['It is unknown, used or revoked.', '邀请不存在。', '邀请未知、已使用或已吊销。'],
  PROJECT_NOT_FOUND: [
    'Check the slug; you see your own projects only.',
    '项目不存在。',
    '检查项目标识；只能看到自己所在的项目。',
  ],
  ASSET_NOT_FOUND: ['Check id or number, and the project.', '资产不存在。', '检查 ID 或编号，以及所在项目。'],
  TICKET_NOT_FOUND: ['Check id or number, and the project.', '工单不存在。', '检查 ID 或编号，以及所在项目。'],
  RUN_NOT_FOUND: ['Check id or number, and the project.', '执行记录不存在。', '检查 ID 或编号，以及所在项目。'],
  ARTIFACT_NOT_FOUND: ['Check id or number, and the project.', '文件不存在。', '检查 ID 或编号，以及所在项目。'],
  POLICY_CHANGE_NOT_FOUND: ['GET /policy/changes lists them.', '策略变更不存在。', '用 GET /policy/changes 查看。'],
  LOG_NOT_ANCHORED: [
    'Name witnesses in a policy (`WRIT_WITNESS_POLICY`), and wait until they have cosigned. `writ audit log` shows how far they stand for the log.',
    '还没有见证方为该日志的任何状态签名。',
    '用 `WRIT_WITNESS_POLICY` 指定见证方，并等待其签名；`writ audit log` 显示已锚定的范围。',
  ],
  LOG_FILE_NOT_FOUND: [
    'The path must be `checkpoint` or `tile/...` of a size that the log has reached.',
    '日志没有这个文件。',
    '路径应为 `checkpoint` 或 `tile/...`，且日志已达到该长度。',
  ],

  PROJECT_EXISTS: ['Choose another slug.', '项目标识已存在。', '换一个标识。'],
  POLICY_UNSATISFIABLE: [
    'Give somebody a role that may approve, or add a second person, then ask again.',
    '没有人能满足该策略。',
    '先让有审批资格的人存在（必要时增加第二个人），再提交。',
  ],
  POLICY_CHANGE_SETTLED: [
    'Nothing is to be done; ask for a new change if needed.',
    '该策略变更已处理。',
    '无需操作；如有需要请重新提交。',
  ],
  APPROVER_EXCLUDED: [
    'Somebody who neither opened the ticket, nor changed it since it was approved last, nor is assigned to it must decide; admins are no exception.',
    '四眼原则：你不能审批。',
    '由既非创建人、也非负责人、且自上次审批以来未修改过该工单的人审批，管理员也不例外。',
  ],
  APPROVAL_USED: ['An approval works once; ask for another.', '该审批已使用。', '一次审批只能用一次，请重新申请。'],
  APPROVAL_EXPIRED: ['Ask for a new approval.', '该审批已过期。', '重新申请审批。'],
  KEY_ROTATION_UNDERWAY: [
    'Wait until the overlap is over (`writ keys list` says when), then rotate again.',
    '该密钥上一次轮换的重叠期尚未结束。',
    '等重叠期结束（`writ keys list` 显示时间）后再轮换。',
  ],
  APPROVAL_STALE: [
    'Read the ticket again and approve its present `digest`.',
    '审批内容已改变。',
    '重新查看工单，按当前的 `digest` 审批。',
  ],

  SIGNATURE_REQUIRED: [
    'Approve with a key of your own: open `/approve/<ticket>` for a passkey, or run `writ approve ticket <ticket> --ssh-key <file>`. Without an enrolled key, propose one first.',
    '本项目的策略要求审批人用自己的密钥签名。',
    '打开 `/approve/<工单>` 使用通行密钥，或运行 `writ approve ticket <工单> --ssh-key <文件>`；还没有密钥时请先登记。',
  ],
  APPROVAL_IN_PERSON: [
    'Approve in the console, or with `writ approve ticket <ticket> --ssh-key <file>`; a login of `writ` is an API token. Policies and keys are approved in the console, or with the access token of `POST /auth/login`.',
    '本项目的策略要求由人审批：仅凭 API 令牌不能批准任何内容。',
    '在控制台审批，或运行 `writ approve ticket <工单> --ssh-key <文件>`；`writ` 的登录就是 API 令牌。策略与密钥请在控制台批准，或使用 `POST /auth/login` 的访问令牌。',
  ],
  SIGNATURE_INVALID: [
    'Sign exactly the statement that the server issued, with the enrolled key and in the namespace that it named; the sentence says what does not fit.',
    '签名无效。',
    '用已登记的密钥、按服务器给出的命名空间，原样签署服务器签发的声明；错误句子说明了哪里不符。',
  ],
  SIGNATURE_LATE: [
    'Ask for a new statement and sign it within ten minutes. If it happens at once, compare the clocks.',
    '声明未在期限内签署。',
    '重新获取声明，并在十分钟内签署；若立刻出现，请核对时钟。',
  ],
  SIGNING_KEY_NOT_FOUND: [
    '`writ signing-key list` shows the keys of this project.',
    '没有这个签名密钥。',
    '用 `writ signing-key list` 查看本项目的密钥。',
  ],
  SIGNING_KEY_NOT_ENROLLED: [
    'Sign with a key of your own that is enrolled. A proposed one waits for another admin: `writ signing-key approve`.',
    '该签名密钥不能用于签署。',
    '使用本人已登记的密钥；已提出的密钥需由另一位管理员批准（`writ signing-key approve`）。',
  ],
  SIGNING_KEY_TAKEN: [
    'It is there already: `writ signing-key list` shows whose. A revoked key may be proposed again.',
    '该密钥已提出或已登记。',
    '用 `writ signing-key list` 查看；吊销后的密钥可以重新提出。',
  ],
  SIGNING_KEY_SETTLED: [
    'Nothing to do: it was decided already. Propose the key again if you still want it.',
    '该密钥已有结论。',
    '无需处理；如仍需要，请重新提出。',
  ],
  SIGNING_KEY_DENIED: [
    'Ask the owner of the key, or an admin of the project.',
    '只有密钥本人或管理员可以这样做。',
    '请密钥本人或项目管理员操作。',
  ],
  SIGNING_KEY_UNSUPPORTED: [
    'SSH: `ssh-keygen -t ed25519` or `-t ecdsa -b 256`. Passkeys: Ed25519, ECDSA on P-256 or RSA, which all usual ones have.',
    '不支持该密钥。',
    'SSH 密钥请用 `ssh-keygen -t ed25519` 或 `-t ecdsa -b 256`；通行密钥支持 Ed25519、P-256 与 RSA。',
  ],
  SERIAL_TAKEN: [
    'Another asset of the project has this serial number: use that asset, or correct the number.',
    '序列号已被本项目的其他资产使用。',
    '使用已有资产，或改正序列号。',
  ],
  ASSIGNEE_INACTIVE: [
    'Assign the ticket to somebody else, or have an administrator activate the account.',
    '此人已停用，不能再被指派。',
    '请指派给其他人，或请管理员重新启用该账户。',
  ],
  ASSET_UPDATE_DENIED: ['Its creator or an admin changes it.', '无权修改该资产。', '由创建人或管理员修改。'],
  TICKET_VIEW_DENIED: [
    'Creator and assignee see it, and the roles ops, auditor and admin.',
    '无权查看该工单。',
    '创建人、负责人以及 ops、auditor、admin 可以查看。',
  ],
  TICKET_UPDATE_DENIED: ['Its creator or an admin edits it.', '无权修改该工单。', '由创建人或管理员修改。'],
  TICKET_STATUS_BY_PATCH: [
    'Call submit, approve, reject, close or reopen.',
    '不能用 PATCH 修改状态。',
    '使用 submit、approve、reject、close 或 reopen。',
  ],
  TICKET_NOT_SUBMITTED: ['Submit it first, or reopen it.', '工单不在已提交状态，不能审批。', '先提交，或重新打开。'],
  TICKET_MOVE_ILLEGAL: [
    'See the [lifecycle](lifecycles.md#tickets) for the moves that exist.',
    '工单不能这样流转。',
    '可用的流转见[生命周期](lifecycles.md#tickets)。',
  ],
  TICKET_CHANGED: [
    'Read the ticket again and send its present `digest`, or none.',
    '其间有人修改了该工单。',
    '重新查看工单，带上当前的 `digest` 再提交，或不带。',
  ],
  TICKET_CLOSED: ['Reopen it first.', '工单已关闭。', '先重新打开。'],

  RUN_VIEW_DENIED: ['You must be allowed to see its ticket.', '无权查看该执行。', '需要能查看对应的工单。'],
  RUN_TICKET_DENIED: [
    'Creator and assignee of the ticket may run on it, and ops and admin.',
    '无权在该工单上执行。',
    '工单的创建人、负责人以及 ops、admin 可以执行。',
  ],
  RUN_SETTLED: [
    'The check was made or is under way. POST /runs/:id/verify opens a linked run that may take more files.',
    '该执行已完成或正在检查。',
    '用 POST /runs/{id}/verify 新建一次关联的执行，可以补充文件。',
  ],
  TASK_DROPPED: [
    'Look in the audit log for what was done; how long records of tasks are kept is `completed_task_days` and `failed_task_days` of the policy.',
    '该任务的记录已到保留期限并被删除；日志中的条目仍在。',
    '请在审计日志中查看；任务记录的保留时间由策略的 `completed_task_days` 与 `failed_task_days` 决定。',
  ],
  TASK_NOT_SETTLED: [
    'Wait until it has ended, then ask again: what proves a task is written with its end.',
    '任务结束后才有证据；该任务尚未结束。',
    '等它结束后再试：证明任务的内容在结束时写入。',
  ],
  RUN_NOT_SETTLED: [
    'Wait until it is final. A cancelled run is not verified again; start another.',
    '该状态的执行不能复核。',
    '等它结束；已取消的执行不能复核，请新建。',
  ],
  RUN_NOT_CANCELLABLE: ['Only a run that waits can be cancelled.', '当前状态不能取消。', '只有等待中的执行可以取消。'],
  ACTION_NEEDS_APPROVAL: ['Have the ticket approved first.', '工单需先审批才能执行变更。', '先审批工单。'],
  ACTION_ADMIN_ONLY: ['Ask an admin.', '只有管理员能执行变更。', '请管理员执行。'],
  KIND_NOT_AVAILABLE: [
    'This version has proof runs only.',
    '本服务器没有这类执行。',
    '当前版本只有 proof（证据检查）类执行。',
  ],
  SCRIPT_UNKNOWN: ['GET /scripts lists what there is.', '没有这个脚本或规则集。', '用 GET /scripts 查看可用项。'],
  RULE_SET_INVALID: [
    '`errors[]` names each problem with its place in the definition.',
    '规则集不合法。',
    '`errors[]` 列出了每个问题及其位置。',
  ],
  TRIAL_TOO_MUCH: [
    'Try fewer or smaller files, or simpler rules; a run has more time, but no more memory.',
    '判断这些文件超过了时限，或所需内存过多。',
    '减少或缩小文件，或简化规则；正式的执行时间更长，但内存相同。',
  ],
  TRIALS_TOO_MANY: ['Try again in a moment.', '同时试用规则的人太多。', '稍后重试。'],
  ARTIFACT_UPLOAD_DENIED: [
    'Creator and assignee of the ticket may upload, and ops and admin.',
    '无权为该执行上传文件。',
    '工单的创建人、负责人以及 ops、admin 可以上传。',
  ],
  ARTIFACT_VIEW_DENIED: ['You must be allowed to see the ticket.', '无权查看该文件。', '需要能查看对应的工单。'],
  ARTIFACTS_VIEW_DENIED: ['You must be allowed to see the ticket.', '无权查看该执行的文件。', '需要能查看对应的工单。'],
  ARTIFACT_DELETE_DENIED: [
    'Its uploader may take it back until the run is settled, an admin at any time.',
    '无权删除该文件。',
    '执行结束前上传者可以撤回，管理员随时可以删除。',
  ],
  ARTIFACT_DELETED: [
    'Record and hash are still at GET /artifacts/{id}.',
    '文件已删除。',
    '记录和哈希仍可通过 GET /artifacts/{id} 查看。',
  ],
  ARTIFACT_TOO_LARGE: [
    'Send a smaller file, or an operator raises `MAX_ARTIFACT_SIZE_MB`.',
    '文件超过大小上限。',
    '缩小文件，或由运维人员调大 `MAX_ARTIFACT_SIZE_MB`。',
  ],
  ARTIFACT_UNEXPECTED: [
    'The run was opened with `expect`; upload under one of those names, or open another run.',
    '该执行只接收预先声明的文件。',
    '使用 `expect` 中的文件名上传，或新建执行。',
  ],
  EVIDENCE_MISSING: [
    'The run was opened with `expect`; upload what is missing, or cancel the run and open another.',
    '该执行预先声明的文件还没有到齐。',
    '上传缺少的文件，或取消该执行后另行新建。',
  ],
  RANGE_NOT_SATISFIABLE: [
    'Ask for bytes that the file has; `Content-Range` says how many.',
    '请求的字节范围超出文件。',
    '按 `Content-Range` 给出的长度请求。',
  ],
  UPLOAD_INTERRUPTED: ['Send the file again.', '上传中断，未保存任何内容。', '重新上传。'],

  SECRET_IN_ARTIFACT: [
    'Take the secret out of the file and upload it again. Whether such files are taken is `artifact_scan` of the policy.',
    '文件中疑似含有机密，项目策略不接收此类文件；未保存任何内容。',
    '从文件中去除密钥后重新上传；是否接收由策略的 `artifact_scan` 决定。',
  ],
  LEGAL_HOLD: [
    'Nothing under a legal hold is erased or deleted. `writ hold list` shows the hold and its reason; an admin may release it.',
    '对象处于法律保全之下，不能删除或擦除。',
    '用 `writ hold list` 查看保全及其理由；由管理员解除后再操作。',
  ],
  HOLD_NOT_FOUND: ['List them: `writ hold list`.', '找不到该法律保全。', '用 `writ hold list` 查看。'],
  HOLD_RELEASED: ['Nothing to do.', '该法律保全已经解除。', '无需处理。'],
  EVENT_NOT_FOUND: [
    'Use the id of the event, or its index in the open log, as `writ audit list` shows them.',
    '找不到该审计事件。',
    '使用 `writ audit list` 显示的事件编号或日志序号。',
  ],
  EVENT_NOT_ERASABLE: [
    'What explains the log itself stays: it names no more of a person than who operated the server.',
    '解释日志自身的事件不能擦除。',
    '此类事件必须保留。',
  ],
  PAYLOAD_ERASED: ['Nothing to do.', '该事件的内容已被擦除。', '无需处理。'],
  ARTIFACT_ERASED: [
    'The bytes are gone for good; hash and record are still there.',
    '该文件的字节已被永久擦除。',
    '哈希与记录仍然保留，字节无法恢复。',
  ],
  LOG_BUSY: [
    'Try again in a moment; with several servers, ask the one that leads (`/metrics`, `/readyz`).',
    '此刻无法关闭日志。',
    '稍后重试；多台服务器时请访问正在写日志的那一台。',
  ],
  LOG_NOT_DROPPABLE: [
    'List the logs with `writ log list`; close the open one first with `writ log rotate`, and drop from the oldest on.',
    '只能删除项目中最旧的已关闭日志。',
    '用 `writ log list` 查看；先用 `writ log rotate` 关闭当前日志，再从最旧的开始删除。',
  ],
  USER_STILL_ACTIVE: [
    'Deactivate the account first (`writ user deactivate`), then erase it.',
    '账号仍在使用，不能擦除。',
    '先停用该账号，再执行擦除。',
  ],

  WEBHOOK_NOT_FOUND: [
    '`writ webhook list` shows the webhooks of this project.',
    '没有这个 webhook。',
    '用 `writ webhook list` 查看本项目的 webhook。',
  ],
  WEBHOOK_NOT_ACTIVE: [
    'Find out why it was disabled (`writ webhook show`), then `writ webhook enable`.',
    '该 webhook 已停用。',
    '先用 `writ webhook show` 查明停用原因，再用 `writ webhook enable` 启用。',
  ],
  WEBHOOK_UNSIGNED: [
    'Chat programs get their own form, without our signature. Make a new address in the chat program, and change the url.',
    '该格式的消息不由本系统签名，没有可更换的密钥。',
    '聊天软件使用自己的消息格式；请在聊天软件中生成新的地址，再修改 url。',
  ],
  MAIL_NOT_CONFIGURED: [
    'Set `WRIT_SMTP_URL` and `WRIT_SMTP_FROM`, and restart.',
    '服务器没有配置邮件服务器。',
    '设置 `WRIT_SMTP_URL` 和 `WRIT_SMTP_FROM` 并重启。',
  ],
  DESTINATION_REFUSED: [
    'Use https and a public address. For an address of your own network, name host or range in `WRIT_EGRESS_ALLOW` and restart.',
    '服务器不允许访问该地址。',
    '使用 https 和公网地址；如需访问内网，请在 `WRIT_EGRESS_ALLOW` 中写明主机名或网段并重启。',
  ],
  REPLAY_UNFILTERED: [
    'Name deliveries, or a state, an event type or a time. With `preview` it is only counted.',
    '没有指明要重发哪些投递。',
    '给出投递 id，或状态、事件类型、时间范围；加上 `preview` 只统计数量。',
  ],
  UPGRADE_REQUIRED: [
    'Open it with a WebSocket client; a proxy on the way must pass the `Upgrade` header on. `GET /events` gives the same without one.',
    '该地址是 WebSocket，需要升级连接。',
    '使用 WebSocket 客户端，并确认代理转发 `Upgrade` 头；不便使用时改用 `GET /events`。',
  ],
  SEQUENCE_INVALID: [
    'Send back the `id` of the last server-sent event or the `last` of the last page, unchanged; `0` starts at the beginning.',
    '序号不正确。',
    '原样传回最后一个事件的 `id` 或最后一页的 `last`；`0` 表示从头开始。',
  ],
  TASK_NOT_FOUND: [
    'List the tasks of the project; the id or number may belong to another project.',
    '找不到该任务。',
    '列出本项目的任务；该 id 或编号可能属于其他项目。',
  ],
  TASK_VIEW_DENIED: [
    'Outside of ops, auditor and admin, a task is shown to whoever dispatched it.',
    '无权查看该任务。',
    '除 ops、auditor、admin 外，任务只对派发者可见。',
  ],
  ATTEMPT_NOT_FOUND: [
    '`GET /tasks/{id}` lists the attempts; the next one can be waited for, later ones cannot.',
    '这个任务没有这次尝试。',
    '`GET /tasks/{id}` 列出各次尝试；可以等待下一次，但不能等待更后面的。',
  ],
  TASK_UNKNOWN_HANDLER: [
    'List the handlers; names are compared letter by letter. One that was removed has to be registered again.',
    '没有这个处理器。',
    '列出可用的处理器，名称须完全一致；已移除的处理器需要重新注册。',
  ],
  TASK_INPUT_INVALID: [
    '`errors[]` names each field. The schema of the handler is shown in the list of handlers.',
    '输入不符合该处理器的数据结构。',
    '查看 `errors[]` 中的字段；处理器列表里有它的 schema。',
  ],
  TASK_INPUT_TOO_LARGE: [
    'Store large data as an artifact or elsewhere, and hand in its id.',
    '任务输入过大。',
    '把大数据存为文件（artifact）或存放在别处，输入中只给出其 id。',
  ],
  TASK_TIMES_INVALID: [
    'Send a later `deadline_at`, or an earlier `run_at`. Check the clock of the client.',
    '截止时间必须晚于当前时间和首次开始时间。',
    '给出更晚的 `deadline_at` 或更早的 `run_at`，并检查客户端时钟。',
  ],
  TASK_NOT_CANCELLABLE: [
    'It is settled already; there is nothing left to stop.',
    '该任务已结束，无法取消。',
    '任务已有最终结果，无需操作。',
  ],
  TASK_NOT_DEAD: [
    'Only tasks that failed for good can be replayed, each once; the new task names the old one in `replays_run_id`.',
    '该任务不在死信列表中。',
    '只有最终失败的任务可以重放，且每个只能一次；新任务的 `replays_run_id` 指向旧任务。',
  ],
  DEAD_LETTERS_UNFILTERED: [
    'Name at least one of ids, queue, handler, error code or time; look at the count first.',
    '必须指明要处理哪些死信。',
    '至少给出 id、队列、处理器、错误代码或时间之一；先查看预计数量。',
  ],
  RUNS_UNFILTERED: [
    'Name at least one of check, ticket, asset, time or a text; look at the count first.',
    '必须指明要处理哪些执行。',
    '至少给出检查、工单、资产、时间或文字之一；先查看预计数量。',
  ],
  TASKS_UNFILTERED: [
    'Name at least one of queue, handler, error code, tag, cost or time; look at the count first.',
    '必须指明要处理哪些任务。',
    '至少给出队列、处理器、错误代码、标签、费用或时间之一；先查看预计数量。',
  ],
  TASK_CALLBACK_REFUSED: [
    'Use an https url of a public address, or name the host in WRIT_EGRESS_ALLOW. If somebody disabled its webhook, enable that (`writ webhook enable`).',
    '不能调用此回调地址：{reason}。',
    '请使用公网地址的 https 链接，或在 WRIT_EGRESS_ALLOW 中列出该主机。若有人停用了它的 webhook，请先启用（`writ webhook enable`）。',
  ],
  QUEUE_UNKNOWN: [
    'A queue exists from its first task on; list the queues of the project. To pause or limit one before, send `create: true` (`writ queue pause NAME --create`).',
    '本项目没有这个队列。',
    '队列在第一个任务进入时建立；请列出本项目的队列。要在此之前暂停或限制队列，请发送 `create: true`（`writ queue pause NAME --create`）。',
  ],
  SCHEDULE_NOT_FOUND: ['Look at the list of schedules of the project.', '没有这个计划。', '请查看本项目的计划列表。'],
  SCHEDULE_NAME_TAKEN: [
    'Choose another name, or change the schedule that has it.',
    '本项目已有同名计划。',
    '请换一个名称，或修改已有的计划。',
  ],
  SCHEDULE_TIMES_INVALID: [
    'Say exactly one of `cron`, `every_seconds` and `at`, with a time that is still ahead; `POST /schedules/preview` shows the next ten.',
    '时间设置无效。',
    '`cron`、`every_seconds`、`at` 只能给出一个，且须有将来的时间；可用 `POST /schedules/preview` 预览。',
  ],
  SCHEDULE_CHANGED: [
    'Get the schedule, look at what is new, and send the change again if it still holds.',
    '计划已被他人修改。',
    '请重新读取，确认后再提交修改。',
  ],
  SCHEDULE_ENDED: [
    'Its last time has passed. Change its times; it is active then.',
    '计划已没有将来的时间。',
    '请修改其时间，修改后即生效。',
  ],
  INSIGHT_PERIOD_INVALID: [
    'Give a `from` that lies before `to`, at most 400 days apart.',
    '时间段须先开始后结束，且不超过 400 天。',
    '请给出早于 `to` 的 `from`，两者相距不超过 400 天。',
  ],
  INSIGHT_TOO_LARGE: [
    'Ask for a shorter period, or name a `handler` or a `queue`.',
    '这段时间内的处理器和队列过多。',
    '请缩短时间段，或指定 `handler` 或 `queue`。',
  ],
  HANDLER_UNKNOWN: [
    '`GET /handlers` lists the handlers of the project. Only those with the source `http` can be removed.',
    '本项目没有这个处理器。',
    '`GET /handlers` 列出本项目的处理器；只有来源为 `http` 的可以移除。',
  ],
  HANDLER_DISABLED: [
    'Enable it (`POST /handlers/<name>/enable`) or dispatch to another.',
    '该处理器已停用。',
    '请启用它（`POST /handlers/<name>/enable`）或使用其他处理器。',
  ],
  HANDLER_NAME_TAKEN: [
    'Give the handler another name; `GET /handlers` lists those that are taken.',
    '已有同名处理器。',
    '请另取名称；`GET /handlers` 列出已占用的名称。',
  ],
  HANDLER_NOT_REMOVABLE: [
    'Disable it (`POST /handlers/<name>/disable`), or take its file out of the folder.',
    '这是服务器自身的处理器，不能移除，只能停用。',
    '请停用它（`POST /handlers/<name>/disable`），或从目录中移除其文件。',
  ],
  HANDLER_CONTRACT_INVALID: [
    'Mend the schema that the reason names.',
    '处理器的约定无效。',
    '请修正原因中指出的 schema。',
  ],
  LEASE_LOST: ['Stop the work, and settle nothing.', '该租约已失效，任务已归他人。', '请停止工作，不要再上报结果。'],
  LOG_GAP: [
    'Send the lines from the first that was not kept on, or say how many before them are gone (`left_out`).',
    '日志行不连续：其间有未发送也未声明丢弃的行。',
    '请从第一条未保存的行开始发送，或以 `left_out` 说明之前丢弃了多少行。',
  ],
  STEP_INVALID: [
    'A name has up to 100 characters in one line; a result is JSON of at most 64 KiB.',
    '这不是有效的步骤。',
    '名称最多 100 个字符，不换行；结果为不超过 64 KiB 的 JSON。',
  ],
  DISPATCH_DENIED: [
    'Whoever dispatched the parent must be an active member who may dispatch tasks; dispatch it again as somebody who may.',
    '派发该任务的用户已无权派发任务。',
    '父任务的派发者须为有权派发任务的有效成员；请由有权者重新派发。',
  ],
  WAIT_CIRCLE: [
    'Dispatch the child without `depends_on` of this task, or do not wait for it.',
    '该任务（直接或间接）在等待当前任务结束。',
    '派发子任务时不要以当前任务为 `depends_on`，或者不要等待它。',
  ],
  TASK_STOPPING: [
    'End the attempt. What is to be done whatever becomes of a task is dispatched beside it, with `depends_on` and `depends_on_policy: "run"`.',
    '该任务已被要求停止，不再派发其他任务。',
    '请结束本次尝试。无论任务结局如何都要执行的工作，应以 `depends_on` 和 `depends_on_policy: "run"` 与其一同派发。',
  ],
  NOT_A_CHILD: [
    'A task waits only for children that it dispatched itself.',
    '该任务不是由当前任务派发的。',
    '任务只能等待自己派发的子任务。',
  ],
  HANDLER_UNSIGNED: [
    'Only handlers that were added with a url have a secret.',
    '该处理器不通过 HTTP 调用，没有密钥。',
    '只有以 url 添加的处理器才有密钥。',
  ],
  LEASE_INVALID: [
    'Hand back the lease as `POST /workers/claim` answered it, in the same project.',
    '这不是本服务器为本项目发出的租约。',
    '请在同一项目中原样交回 `POST /workers/claim` 给出的租约。',
  ],
  TASK_DEPENDENCY_UNKNOWN: [
    'Name tasks of this project that you may see, by id or number; in a batch `batch:<n>` names only what stands before.',
    '没有可供等待的这个任务。',
    '请给出本项目中你可见的任务（id 或编号）；批次中的 `batch:<n>` 只能指向排在前面的任务。',
  ],
  TASK_DEPENDENCY_INVALID: [
    'Leave out, add or change what the reason names.',
    '派发内容自相矛盾。',
    '请按原因去掉、补上或更改其中指出的字段。',
  ],
  TASK_UNIQUE_INVALID: [
    'Leave out, add or change what the reason names.',
    '派发内容自相矛盾。',
    '请按原因去掉、补上或更改其中指出的字段。',
  ],
  TASK_DUPLICATE: [
    'Wait for that task or cancel it; with `unique_policy` `return` it is answered instead, with `replace` its place is taken.',
    '同一唯一键的任务尚未结束。',
    '请等待或取消该任务；`unique_policy` 为 `return` 时返回该任务，为 `replace` 时取而代之。',
  ],
  BATCH_NOT_FOUND: [
    'The id stands in the answers of `POST /tasks/batch`, as `batch_id`; a batch is shown to whoever dispatched it, ops, auditors and admins.',
    '找不到该批次。',
    'id 即 `POST /tasks/batch` 应答中的 `batch_id`；批次仅对其派发者以及 ops、auditor、admin 可见。',
  ],
  KEY_PAUSE_INVALID: ['Give a time that is still to come.', '暂停的结束时间必须晚于现在。', '请给出将来的时间。'],
  KEY_LIMIT_EMPTY: [
    'Give `concurrency` or `rate`; to take a limit away, lift it.',
    '限制须给出并发数、速率或两者。',
    '请给出 `concurrency` 或 `rate`；要取消限制，请使用解除。',
  ],
  KEY_LIMIT_OVER: [
    'Give a time that is still to come, or none.',
    '限制的结束时间必须晚于现在。',
    '请给出将来的时间，或不给。',
  ],
  KEY_LIMITS_EXHAUSTED: [
    'Lift one of them, or limit the key for every handler.',
    '该键已有 {most} 个处理器的限制。',
    '请解除其中一个，或对所有处理器限制该键。',
  ],
  COST_INVALID: [
    'A cost is a number of US dollars; an attempt costs at most 10,000, for at most 50 things; what it is for has up to 100 letters, digits, spaces and `_.:/@+#-`.',
    '这不是有效的费用。',
    '费用为美元数；一次尝试最多 10,000 美元，最多 50 项；名目最多 100 个字母、数字、空格或 `_.:/@+#-`。',
  ],
  DATABASE_UNAVAILABLE: [
    'Try again after `Retry-After`. If it stays, see [operating](operate.md#503-database_unavailable).',
    '数据库无法访问或写入，未做任何更改。',
    '按 `Retry-After` 重试；若持续出现，见[运维手册](zh-CN/operate.md)。',
  ],
  SECRETS_UNREADABLE: [
    'Give the server the old key in `SECRET_KEY_PREVIOUS`, or set anew what it sealed: [rotation of SECRET_KEY](operate.md#rotation-of-secret_key).',
    '封存该内容的 SECRET_KEY 已不在服务器上。',
    '在 `SECRET_KEY_PREVIOUS` 中给出旧密钥，或重新设置被封存的内容：[更换 SECRET_KEY](zh-CN/operate.md#更换-secret_key)。',
  ],
  STORAGE_UNAVAILABLE: [
    'Try again after `Retry-After`. If it stays, see [operating](operate.md#503-storage_unavailable).',
    '文件存储无法访问或写入，未保存任何内容。',
    '按 `Retry-After` 重试；若持续出现，见[运维手册](zh-CN/operate.md)。',
  ],
  LOG_UNAVAILABLE: [
    'Try again after `Retry-After`. `/readyz` says why; if it stays, see [operating](operate.md#503-log_unavailable).',
    '日志文件无法访问，未做任何更改。',
    '按 `Retry-After` 重试；`/readyz` 会说明原因。若持续出现，见[运维手册](zh-CN/operate.md)。',
  ],
  LOG_BEHIND: [
    'Approvals, keys, erasures and exports wait for the log; all else goes on. `/readyz` says why the log does not move: a full disk, or no process with the role `sequencer`.',
    '事件等待写入日志已超过一分钟，在写入之前不执行该操作。',
    '审批、密钥、擦除与导出须等日志跟上，其余操作照常。`/readyz` 会说明原因：磁盘已满，或没有带 `sequencer` 角色的进程。',
  ],
  SHUTTING_DOWN: [
    'Try again in a moment; another instance or the restarted one will answer.',
    '服务器正在停止。',
    '稍后重试。',
  ],
  INTERNAL: [
    'Tell the operator the `request_id`: the log has the details under it.',
    '服务器内部错误。',
    '把 `request_id` 告诉运维人员，日志中有对应的详细信息。',
  ],
}

// The approve page: shows one ticket, enrols a passkey, and signs the approval with it. No library and no inline script.

const texts = {
  en: {
    title: 'Approve a ticket',
    username: 'User name',
    password: 'Password',
    totp: 'One-time code, if you use one',
    login: 'Log in',
    status: 'Status',
    opened: 'Opened by',
    assignee: 'Does the work',
    asset: 'Asset',
    due: 'Due',
    version: 'Version',
    digest: 'Digest',
    field: {
      title: 'Title',
      description: 'Description',
      asset_id: 'Asset',
      assignee_id: 'Does the work',
      due_at: 'Due',
    },
    statuses: {
      draft: 'Draft',
      submitted: 'Submitted',
      approved: 'Approved',
      running: 'Running',
      done: 'Done',
      failed: 'Failed',
      closed: 'Closed',
    },
    changed: 'Changed since the last approval',
    firstTime: 'Nobody has approved an earlier version: all of it is new.',
    lastBy: (name, version, time) => `Version ${version} was approved by ${name}, ${time}.`,
    unchanged: 'Nothing was changed.',
    erased: (edits) => `What ${edits === 1 ? 'one edit' : `${edits} edits`} changed was erased.`,
    checks: 'What will judge the evidence',
    checksText: 'The approval binds the ticket, not a check: whoever starts a run names one of these.',
    checksList: 'Checks and the SHA-256 of their rules',
    byParameters: 'by its parameters',
    who: 'Who may approve',
    may: (names) => (names === '' ? 'Nobody here may approve it.' : `May approve: ${names}.`),
    opener: (name) => `${name} may not: opened it.`,
    worker: (name) => `${name} may not: does the work.`,
    noFourEyes: 'The rules of this project do not ask for four eyes: nobody is excluded.',
    next: 'What happens next',
    nextText: (name) =>
      `${name} may start a run and hand in evidence; the check judges it, and the ticket is done or failed. Nothing is executed by the approval itself.`,
    ends: 'The approval stands until the ticket is edited or opened again.',
    endsAfter: (hours) =>
      `The approval ends after ${hours} ${hours === 1 ? 'hour' : 'hours'}, or when the ticket is edited or opened again.`,
    person: (number) => `user #${number}`,
    approve: 'Approve with a passkey',
    enrol: 'Set up a passkey for approvals',
    statement: 'What was signed',
    approved: 'Approved and signed.',
    waits: 'Your passkey waits for another admin to approve it.',
    enrolled: 'Your passkey is enrolled.',
    settled: 'There is nothing to approve in this state.',
    unsupported: 'This browser has no passkeys here: use HTTPS, or http://localhost.',
    otherHost: (host) =>
      `Passkeys of this server are made and used at ${host}, not at ${location.hostname}. If people reach it here, WRIT_PUBLIC_URL has to say so.`,
    otherVersion: 'The server issued a statement about another version: nothing was signed.',
    cancelled:
      'Nothing was signed: the browser was told no, it took too long, or this device does not check who you are (PIN, fingerprint, face).',
    lost: 'The server does not answer. Try again.',
  },
  zh: {
    title: '审批工单',
    username: '用户名',
    password: '密码',
    totp: '一次性验证码（如已启用）',
    login: '登录',
    status: '状态',
    opened: '提交人',
    assignee: '负责人',
    asset: '资产',
    due: '截止时间',
    version: '版本',
    digest: '摘要',
    field: { title: '标题', description: '说明', asset_id: '资产', assignee_id: '负责人', due_at: '截止时间' },
    statuses: {
      draft: '草稿',
      submitted: '已提交',
      approved: '已批准',
      running: '执行中',
      done: '已完成',
      failed: '未通过',
      closed: '已关闭',
    },
    changed: '自上次批准以来的改动',
    firstTime: '此前没有批准过任何版本，全部内容都是新的。',
    lastBy: (name, version, time) => `版本 ${version} 由 ${name} 于 ${time} 批准。`,
    unchanged: '没有改动。',
    erased: (edits) => `其中 ${edits} 次编辑的内容已被清除。`,
    checks: '由什么判定证据',
    checksText: '批准的对象是工单，不是检查：启动执行的人从下列检查中选择。',
    checksList: '检查及其规则的 SHA-256',
    byParameters: '取决于参数',
    who: '谁可以审批',
    may: (names) => (names === '' ? '此处无人可以审批。' : `可审批：${names}。`),
    opener: (name) => `${name} 不可审批：工单提交人。`,
    worker: (name) => `${name} 不可审批：工作执行人。`,
    noFourEyes: '本项目的规则不要求四眼原则，没有人被排除。',
    next: '接下来',
    nextText: (name) =>
      `${name} 可以启动执行并提交证据；检查作出判定，工单随之完成或未通过。批准本身不会执行任何操作。`,
    ends: '在工单被编辑或重新打开之前，批准一直有效。',
    endsAfter: (hours) => `批准在 ${hours} 小时后失效；编辑或重新打开工单也会使其失效。`,
    person: (number) => `用户 #${number}`,
    approve: '用通行密钥批准',
    enrol: '设置用于审批的通行密钥',
    statement: '已签署的内容',
    approved: '已批准并签名。',
    waits: '你的通行密钥正在等待另一位管理员批准。',
    enrolled: '你的通行密钥已登记。',
    settled: '当前状态无需审批。',
    unsupported: '此处无法使用通行密钥：请使用 HTTPS 或 http://localhost。',
    otherHost: (host) =>
      `本服务器的通行密钥只能在 ${host} 设置和使用，不能在 ${location.hostname}。若用户由此处访问，须在 WRIT_PUBLIC_URL 中写明。`,
    otherVersion: '服务器签发的声明针对另一个版本，未签署任何内容。',
    cancelled: '未签署任何内容：浏览器中选择了取消、超时，或本设备不验证使用者身份（PIN、指纹、面容）。',
    lost: '服务器没有响应，请重试。',
  },
}
const language = navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en'
const say = texts[language]
const byId = (id) => document.getElementById(id)
const { prefix, passkeyHost } = document.documentElement.dataset
const ticketRef = location.pathname.split('/').at(-1)
const project = new URLSearchParams(location.search).get('project') ?? 'default'
const CSRF = 'writ-csrf'

const toText = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '')
const toBytes = (text) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0))

/** A refusal of the server, with its own sentence. */
class Refused extends Error {
  constructor(status, { detail, code } = {}) {
    super(detail ?? say.lost)
    this.status = status
    this.code = code
  }
}

async function call(method, path, body) {
  const answer = await fetch(prefix + path, {
    method,
    credentials: 'same-origin',
    headers: {
      'x-project': project,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(method === 'GET' ? {} : { 'x-csrf-token': sessionStorage.getItem(CSRF) ?? '' }),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  })
  const text = await answer.text()
  const content = text === '' ? undefined : JSON.parse(text)
  if (!answer.ok) throw new Refused(answer.status, content)
  return content
}

let me
let ticket
let keys = []

async function load() {
  // Writes need the token of this very login: without it somebody logs in again.
  if (!sessionStorage.getItem(CSRF)) return show('login')
  try {
    me = await call('GET', '/auth/me')
  } catch (error) {
    if (error.status === 401) return show('login')
    throw error
  }
  ticket = await call('GET', `/tickets/${encodeURIComponent(ticketRef)}`)
  const all = await call('GET', '/signing-keys')
  keys = all.filter((key) => key.user_id === me.id && key.type === 'passkey')
  byId('ticket-title').textContent = `#${ticket.number}  ${plainText(ticket.title)}`
  byId('ticket-description').textContent = plainText(ticket.description ?? '')
  byId('ticket-status').textContent = say.statuses[ticket.status] ?? ticket.status
  await review()
  byId('ticket-version').textContent = String(ticket.version)
  byId('ticket-digest').textContent = ticket.digest
  show('ticket')
  const states = keys.map((key) => key.state)
  const enrolled = states.includes('enrolled')
  // A passkey belongs to the host that it was made at, and the server takes those of one.
  const isOtherHost = location.hostname !== passkeyHost
  byId('approve').hidden = isOtherHost || !enrolled || ticket.status !== 'submitted'
  byId('enrol').hidden = isOtherHost || enrolled || states.includes('proposed')
  if (isOtherHost) return tell(say.otherHost(passkeyHost))
  if (window.PublicKeyCredential === undefined) return tell(say.unsupported)
  if (states.includes('proposed') && !enrolled) return tell(say.waits)
  if (ticket.status !== 'submitted' && ticket.status !== 'approved') tell(say.settled)
}

const timeText = (at) =>
  new Date(at).toLocaleString(document.documentElement.lang, {
    dateStyle: 'medium',
    timeStyle: 'short',
    hourCycle: 'h23',
  })

/** All that somebody who agrees has to know: people by name, the difference, the rules of the moment, what follows. */
async function review() {
  const [members, policy, scripts, since] = await Promise.all([
    call('GET', '/members'),
    call('GET', '/policy'),
    call('GET', '/scripts'),
    call('GET', `/tickets/${ticket.id}/changes`).catch(nullIfDenied),
  ])
  const people = new Map(members.map((one) => [one.user_id, one.username]))
  const nameOf = (id, number) => people.get(id) ?? (number ? say.person(number) : '–')
  const opener = nameOf(ticket.created_by_id, ticket.created_by_number)
  const worker = ticket.assignee_id ? nameOf(ticket.assignee_id, ticket.assignee_number) : null
  byId('ticket-opened').textContent = opener
  byId('ticket-assignee').textContent = worker ?? '–'
  byId('ticket-asset').textContent = ticket.asset_id ? await assetName(ticket.asset_id) : '–'
  byId('ticket-due').textContent = ticket.due_at ? timeText(ticket.due_at) : '–'

  const approval = since?.approval
  byId('changed-text').textContent = approval
    ? [
        say.lastBy(
          nameOf(approval.decided_by_id, approval.decided_by_number),
          approval.ticket_version,
          timeText(approval.created_at),
        ),
        ...(since.changes.length === 0 && since.unreadable === 0 ? [say.unchanged] : []),
        ...(since.unreadable > 0 ? [say.erased(since.unreadable)] : []),
      ].join(' ')
    : since && say.firstTime
  const rows = await Promise.all(
    (since?.changes ?? []).map(async ({ field, from, to }) => {
      const text = async (value) => {
        if (value === null || value === '') return '–'
        if (field === 'due_at') return timeText(value)
        if (field === 'assignee_id') return nameOf(value)
        return field === 'asset_id' ? assetName(value) : plainText(value)
      }
      const [was, is] = await Promise.all([text(from), text(to)])
      return [
        element('dt', say.field[field] ?? field),
        within('dd', element('del', was)),
        within('dd', element('ins', is)),
      ]
    }),
  )
  byId('changes').replaceChildren(...rows.flat())

  byId('checks').replaceChildren(
    ...scripts.flatMap((one) => [
      element('dt', `${one.script_id} ${one.version}`),
      element('dd', one.digest ?? say.byParameters),
    ]),
  )
  const may = members.filter((one) => one.is_active && policy.approver_roles.includes(one.role))
  const excluded = (one) => policy.four_eyes && [ticket.created_by_id, ticket.assignee_id].includes(one.user_id)
  byId('may').textContent = say.may(
    may
      .filter((one) => !excluded(one))
      .map((one) => one.username)
      .join(', '),
  )
  const why = (one) => element('li', one.user_id === ticket.created_by_id ? say.opener(opener) : say.worker(worker))
  const nobody = policy.four_eyes ? [] : [element('li', say.noFourEyes)]
  byId('excluded').replaceChildren(...may.filter(excluded).map(why), ...nobody)
  const hours = policy.approval_ttl_hours
  byId('next').textContent = `${say.nextText(worker ?? opener)} ${hours === null ? say.ends : say.endsAfter(hours)}`
}

/** Whoever may not approve sees the ticket, and no more. */
function nullIfDenied(error) {
  if (error.status === 403) return null
  throw error
}

async function assetName(id) {
  const asset = await call('GET', `/assets/${id}`)
  return `#${asset.number} ${plainText(asset.name)}`
}

/** What is not seen and makes letters be seen elsewhere is written out: a person agrees to what they read. */
function plainText(text) {
  return text.replace(
    /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]|\r(?!\n)/gu,
    (one) => `[U+${one.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}]`,
  )
}

function element(tag, text) {
  const made = document.createElement(tag)
  made.textContent = text
  return made
}

function within(tag, child) {
  const made = document.createElement(tag)
  made.append(child)
  return made
}

function show(part) {
  byId('login').hidden = part !== 'login'
  byId('ticket').hidden = part !== 'ticket'
}

function tell(text) {
  byId('said').textContent = text
}

async function login(form) {
  const { username, password, totp } = Object.fromEntries(new FormData(form))
  const session = await call('POST', '/auth/session', { username, password, ...(totp === '' ? {} : { totp }) })
  sessionStorage.setItem(CSRF, session.csrf_token)
  form.reset()
  await load()
}

/** Asks the authenticator to sign the digest of a statement. */
async function sign(challenge, credentialIds) {
  const { rawId, response } = await navigator.credentials.get({
    publicKey: {
      challenge: toBytes(challenge),
      allowCredentials: credentialIds.map((id) => ({ type: 'public-key', id: toBytes(id) })),
      userVerification: 'required',
    },
  })
  return {
    credentialId: toText(rawId),
    passkey: {
      client_data_json: toText(response.clientDataJSON),
      authenticator_data: toText(response.authenticatorData),
      signature: toText(response.signature),
    },
  }
}

async function enrol() {
  const made = await navigator.credentials.create({
    publicKey: {
      challenge: crypto.getRandomValues(new Uint8Array(32)),
      rp: { name: 'Writ' },
      user: { id: new TextEncoder().encode(me.id), name: me.username, displayName: me.full_name ?? me.username },
      pubKeyCredParams: [-7, -8, -257].map((alg) => ({ type: 'public-key', alg })),
      authenticatorSelection: { userVerification: 'required', residentKey: 'preferred' },
      attestation: 'none',
    },
  })
  const public_key = toText(made.response.getPublicKey())
  const credential_id = toText(made.rawId)
  const issued = await call('POST', '/signing-keys/statement', { type: 'passkey', public_key })
  const { passkey } = await sign(issued.challenge, [credential_id])
  const key = await call('POST', '/signing-keys', {
    type: 'passkey',
    public_key,
    credential_id,
    name: navigator.platform || 'passkey',
    statement: issued.statement,
    passkey,
  })
  await load()
  tell(key.state === 'enrolled' ? say.enrolled : say.waits)
}

async function approve() {
  const issued = await call('POST', `/tickets/${ticket.id}/approval-statement`, undefined)
  const { subject } = JSON.parse(issued.statement)
  // What is signed is what was read on this page, or nothing is.
  if (subject[0].digest.sha256 !== ticket.digest) return tell(say.otherVersion)
  const usable = keys.filter((key) => key.state === 'enrolled')
  const { credentialId, passkey } = await sign(
    issued.challenge,
    usable.map((key) => key.credential_id),
  )
  const key = usable.find((one) => one.credential_id === credentialId)
  const signed = { key_id: key.id, statement: issued.statement, passkey }
  await call('POST', `/tickets/${ticket.id}/approve`, { digest: ticket.digest, signed })
  await load()
  byId('statement').textContent = JSON.stringify(JSON.parse(issued.statement), null, 2)
  byId('signed').hidden = false
  tell(say.approved)
}

/** Runs an action with its button held, and says how it ended. */
function act(work) {
  return async (event) => {
    event.preventDefault()
    const button = event.submitter ?? event.currentTarget
    button.disabled = true
    tell('')
    try {
      await work(event)
    } catch (error) {
      // A person who dismisses the prompt of the browser, and a time limit, are both this error.
      tell(error.name === 'NotAllowedError' ? say.cancelled : error.message)
    } finally {
      button.disabled = false
    }
  }
}

document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en'
document.title = say.title
for (const element of document.querySelectorAll('[data-text]')) element.textContent = say[element.dataset.text]
byId('login').addEventListener(
  'submit',
  act((event) => login(event.target)),
)
byId('approve').addEventListener('click', act(approve))
byId('enrol').addEventListener('click', act(enrol))
load().catch((error) => tell(error.message))

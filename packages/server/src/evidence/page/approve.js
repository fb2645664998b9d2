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
    version: 'Version',
    digest: 'Digest',
    approve: 'Approve with a passkey',
    enrol: 'Set up a passkey for approvals',
    statement: 'What was signed',
    approved: 'Approved and signed.',
    waits: 'Your passkey waits for another admin to approve it.',
    enrolled: 'Your passkey is enrolled.',
    settled: 'There is nothing to approve in this state.',
    unsupported: 'This browser has no passkeys here: use HTTPS, or http://localhost.',
    changed: 'The server issued a statement about another version: nothing was signed.',
    cancelled: 'Nothing was signed.',
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
    version: '版本',
    digest: '摘要',
    approve: '用通行密钥批准',
    enrol: '设置用于审批的通行密钥',
    statement: '已签署的内容',
    approved: '已批准并签名。',
    waits: '你的通行密钥正在等待另一位管理员批准。',
    enrolled: '你的通行密钥已登记。',
    settled: '当前状态无需审批。',
    unsupported: '此处无法使用通行密钥：请使用 HTTPS 或 http://localhost。',
    changed: '服务器签发的声明针对另一个版本，未签署任何内容。',
    cancelled: '未签署任何内容。',
    lost: '服务器没有响应，请重试。',
  },
}
const language = navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en'
const say = texts[language]
const byId = (id) => document.getElementById(id)
const prefix = document.documentElement.dataset.prefix
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
  byId('ticket-title').textContent = `#${ticket.number}  ${ticket.title}`
  byId('ticket-description').textContent = ticket.description ?? ''
  byId('ticket-status').textContent = ticket.status
  byId('ticket-opened').textContent = `#${ticket.created_by_number}`
  byId('ticket-version').textContent = String(ticket.version)
  byId('ticket-digest').textContent = ticket.digest
  show('ticket')
  const states = keys.map((key) => key.state)
  const enrolled = states.includes('enrolled')
  byId('approve').hidden = !enrolled || ticket.status !== 'submitted'
  byId('enrol').hidden = enrolled || states.includes('proposed')
  if (window.PublicKeyCredential === undefined) return tell(say.unsupported)
  if (states.includes('proposed') && !enrolled) return tell(say.waits)
  if (ticket.status !== 'submitted' && ticket.status !== 'approved') tell(say.settled)
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
  if (subject[0].digest.sha256 !== ticket.digest) return tell(say.changed)
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

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { openCommandLine, problem } from './test-terminal.ts'

const id = '01a20755-7fdc-7723-963f-3a415ba9b242'
const ticket = { id, number: 7, title: '更换交换机', status: 'draft', version: 1, digest: 'd'.repeat(64) }

test('help is no mistake and goes to standard output', async (t) => {
  const { writ } = await openCommandLine(t)
  const { code, out, err } = await writ(['ticket', '--help'])
  assert.equal(code, 0)
  assert.match(out, /writ ticket approve 7/)
  assert.equal(err, '')
})

for (const line of [
  ['tikcet'],
  ['ticket', 'open'],
  ['ticket', 'show', 'seven'],
  ['ticket', 'list', '--status', 'burnt'],
  ['ticket', 'list', '-n', '0'],
  ['ticket', 'edit', '7'],
  ['ticket', 'open', 'x', '--due', '2026-13-40'],
  ['proof', 'run', '-t', '1'],
  ['run', 'start', '-t', '1', '--data', '[]'],
  ['ticket', 'list', '-o', 'xml'],
  ['artifact', 'move'],
  ['artifact', 'move', '--to', 'tape'],
  ['handler', 'add', 'x'],
  ['handler', 'add', 'x', 'nowhere'],
  ['handler', 'add', 'x', 'https://x/', '--attempts', '0'],
  ['queue', 'limit', 'night', 'many'],
  ['payload', 'erase', 'twelve', '--ground', 'request 17'],
  ['payload', 'erase', '1/12', '--shard', '0', '--ground', 'request 17'],
  ['hold', 'set', 'building', '7', '--reason', 'case 17'],
  ['task', 'run', 'x', '--after-anyway'],
  ['task', 'run', 'x', '--metadata', '[1]'],
  ['task', 'run', 'x', '--input', '{"order": 12345678901234567890}'],
  ['schedule', 'add', 's', 'x', '--cron', '0 0 * * *', '--input', '{"order": 12345678901234567890}'],
  ['run', 'start', '-t', '1', '--data', '{"order": 12345678901234567890}'],
  ['task', 'run', 'x', '--key-policy', 'reject'],
  ['task', 'run', 'x', '--debounce', '5'],
  ['task', 'run', 'x', '--key', 'k', '--max-wait', '5'],
  ['task', 'run', 'x', '--timeout', '5'],
  ['run', 'finalize', '7', '--timeout', '5'],
  ['proof', 'run', '-t', '1', 'a.cfg', '--timeout', '5'],
  ['queue', 'limit-key', 'customer', '--rate', 'fast', '--reason', 'r'],
  ['--url', 'ftp://x', 'whoami'],
  ['--context', 'nowhere', 'whoami'],
]) {
  test(`a wrong command line exits with 2 and asks nothing: ${line.join(' ')}`, async (t) => {
    const { writ, asked } = await openCommandLine(t)
    const { code, err, out } = await writ(line)
    assert.equal(code, 2)
    assert.match(err, /^writ: /)
    assert.equal(out, '')
    assert.deepEqual(asked, [])
  })
}

for (const [code, status, exit] of [
  ['NOT_AUTHENTICATED', 401, 3],
  ['ROLE_NOT_ALLOWED', 403, 3],
  ['ACTION_NEEDS_APPROVAL', 400, 4],
  ['VALIDATION_FAILED', 422, 2],
  ['TICKET_NOT_FOUND', 404, 1],
  ['INTERNAL', 500, 1],
] as const) {
  test(`${code} exits with ${exit} and is told in one line with its code and request`, async (t) => {
    const { writ } = await openCommandLine(t, () => ({ status, json: problem(code, status) }))
    const answer = await writ(['ticket', 'show', '7'])
    assert.equal(answer.code, exit)
    assert.match(answer.err, new RegExp(`^writ: sentence of ${code}\\..*\\[${code}, request req-7\\]\\n$`))
    assert.equal(answer.out, '')
  })
}

test('a sentence that says what is wrong with a field is not followed by the same', async (t) => {
  const detail = 'These times cannot be: Invalid value for minute: 99.'
  const errors = [{ path: 'body.cron', message: 'Invalid value for minute: 99', code: 'cron' }]
  const { writ } = await openCommandLine(t, () => ({
    status: 422,
    json: { ...problem('SCHEDULE_TIMES_INVALID', 422, detail), errors },
  }))
  const { err } = await writ(['schedule', 'next', '--cron', '99 * * * *'])
  assert.match(err, /^writ: These times cannot be: Invalid value for minute: 99\. \[SCHEDULE_TIMES_INVALID/)
})

test('a sentence that ends in a question is not given a stop', async (t) => {
  const detail = 'there is no event "run.complete"; did you mean run.completed?'
  const { writ } = await openCommandLine(t, () => ({ status: 422, json: problem('VALIDATION_FAILED', 422, detail) }))
  assert.match((await writ(['audit', 'list'])).err, /did you mean run\.completed\? \[VALIDATION_FAILED/)
})

test('a server that is away is named, with what to do', async (t) => {
  const { writ } = await openCommandLine(t)
  const { code, err } = await writ(['ticket', 'edit', '7', '--title', 'x', '--url', 'http://127.0.0.1:9'])
  assert.equal(code, 1)
  assert.match(err, /No answer from http:\/\/127\.0\.0\.1:9\. Is the server running there\?/)
})

test('results are a table, data, or with --quiet only numbers', async (t) => {
  const { writ } = await openCommandLine(t, () => ({ json: { items: [ticket], next_cursor: null } }))
  assert.match((await writ(['ticket', 'list'])).out, /^#\s+STATUS\s+TITLE.*\n7\s+draft\s+更换交换机/)
  assert.deepEqual(JSON.parse((await writ(['ticket', 'list', '-o', 'json'])).out), [ticket])
  assert.match((await writ(['ticket', 'list', '-o', 'yaml'])).out, /^- id: 01a2.*\n {2}number: 7\n/)
  assert.equal((await writ(['-q', 'ticket', 'list'])).out, '7\n')
})

test('a list stops at its limit and goes to the end with --all', async (t) => {
  const { writ, asked } = await openCommandLine(t, ({ url }) => ({
    json: url.includes('cursor=2')
      ? { items: [{ ...ticket, number: 1 }], next_cursor: null }
      : {
          items: [
            { ...ticket, number: 3 },
            { ...ticket, number: 2 },
          ],
          next_cursor: '2',
        },
  }))
  assert.equal((await writ(['ticket', 'list', '-n', '2', '-q'])).out, '3\n2\n')
  assert.equal(asked.length, 1)
  assert.equal((await writ(['ticket', 'list', '--all', '-q'])).out, '3\n2\n1\n')
})

test('a ticket is opened with what was given, and nothing else', async (t) => {
  const { writ, asked } = await openCommandLine(t, () => ({ json: ticket }))
  await writ(['ticket', 'open', '更换交换机', '--asset', '#3', '--due', '2026-12-01', '--draft'])
  assert.deepEqual(JSON.parse(asked[0]?.body ?? ''), {
    title: '更换交换机',
    asset_id: '3',
    due_at: '2026-12-01T00:00:00.000Z',
    status: 'draft',
  })
})

test('no colour goes into a pipe', async (t) => {
  const { writ } = await openCommandLine(t, () => ({ json: { items: [ticket], next_cursor: null } }))
  assert.doesNotMatch((await writ(['ticket', 'list'])).out, /\u001b/)
})

const run = {
  id,
  number: 12,
  kind: 'proof',
  state: 'pending',
  verdict: null,
  waiting_for: 'evidence',
  ticket_number: 1,
}
const report = (verdict: string) => ({
  ...run,
  state: 'completed',
  verdict,
  waiting_for: null,
  result_summary: `Validation ${verdict}: 1 artifact(s) checked`,
  outputs_manifest: {
    validation_report: {
      validation_results: [
        {
          filename: 'sw1.cfg',
          validation: verdict,
          findings: [
            { validator: 'fields@1', valid: false, errors: verdict === 'failed' ? ['line missing'] : [], warnings: [] },
          ],
        },
      ],
      set_results: [],
      errors: [],
    },
  },
})

async function prove(t: TestContext, verdict: string, more: string[] = []) {
  const bytes = 'hostname sw1\n'
  const sha256_hash = createHash('sha256').update(bytes).digest('hex')
  const line = await openCommandLine(t, ({ method, url }) => {
    if (method === 'POST' && url === '/runs') return { json: run }
    if (url.startsWith('/artifacts')) return { json: { artifact: { number: 1, sha256_hash }, message: 'ok' } }
    if (url.endsWith('/finalize')) return { json: run }
    if (url.includes('/wait')) return { json: report(verdict) }
    return undefined
  })
  const file = join(line.folder, 'sw1.cfg')
  await writeFile(file, bytes)
  return { ...line, sha256_hash, answer: await line.writ(['proof', 'run', '-t', '1', file, '--wait', ...more]) }
}

test('a failed verdict exits with 5 and its findings are printed', async (t) => {
  const { answer, asked } = await prove(t, 'failed')
  assert.equal(answer.code, 5)
  assert.match(answer.out, /FAILED {2}sw1\.cfg\n +error +fields@1: line missing\nfailed {2}run #12/)
  assert.deepEqual(
    asked.map(({ method, url }) => `${method} ${url.split('?')[0]}`),
    ['POST /runs', 'POST /artifacts', `POST /runs/${id}/finalize`, `GET /runs/${id}/wait`],
  )
  assert.equal(JSON.parse(asked[0]?.body ?? '').finalize, 'manual')
})

test('a passed verdict exits with 0; announced files need no finalize', async (t) => {
  const { answer, asked, sha256_hash } = await prove(t, 'passed', ['--expect', '--rules', 'access-switch'])
  assert.equal(answer.code, 0)
  assert.deepEqual(JSON.parse(asked[0]?.body ?? ''), {
    run_type: 'proof',
    ticket_id: '1',
    script_id: 'rules.access-switch',
    expect: [{ name: 'sw1.cfg', sha256: sha256_hash }],
  })
  assert.ok(!asked.some(({ url }) => url.endsWith('/finalize')))
})

for (const [title, comparison, said] of [
  [
    'what has changed since evidence was judged before is told',
    { confirmed: false, differences: [{ message: 'Verdict was passed, is failed' }] },
    /CHANGED {2}since run #7:\n +Verdict was passed, is failed\n/,
  ],
  [
    'that nothing has changed since evidence was judged before is told',
    { confirmed: true, differences: [{ message: 'yaml was 2.0.0, is 2.9.1' }] },
    /confirmed {2}verdict, files and findings are those of run #7\n +yaml was 2\.0\.0, is 2\.9\.1\n/,
  ],
  ['that there is nothing to compare with is told', undefined, /Run #7 has no report to compare with\.\n/],
] as const)
  test(title, async (t) => {
    const judged = report('failed')
    const again = {
      ...judged,
      verifies_run_number: 7,
      outputs_manifest: { ...judged.outputs_manifest, ...(comparison ? { comparison } : {}) },
    }
    const { writ } = await openCommandLine(t, () => ({ json: again }))
    assert.match((await writ(['run', 'verify', '7', '--wait'])).out, said)
    const shown = (await writ(['run', 'show', '12'])).out
    assert.match(shown, said)
    assert.match(shown, /Verifies run +#7\n/)
  })

test('what changed between before and after is printed, up to what is read on a terminal', async (t) => {
  const judged = report('passed')
  const unified_diff = `=====\n--- a.cfg\n+++ b.cfg\n@@ -1,2 +1,2 @@\n hostname a\n- shutdown\n+ no shutdown\n${' x\n'.repeat(300)}`
  const set_results = [{ validator: 'config_diff@4', valid: true, errors: [], warnings: [], report: { unified_diff } }]
  const validation_report = { ...judged.outputs_manifest.validation_report, set_results }
  const { writ } = await openCommandLine(t, () => ({ json: { ...judged, outputs_manifest: { validation_report } } }))
  const { out } = await writ(['run', 'wait', '12'])
  assert.match(
    out,
    / {8}--- a\.cfg\n {8}\+\+\+ b\.cfg\n {8}@@ .*\n {9}hostname a\n {8}- shutdown\n {8}\+ no shutdown\n/,
  )
  assert.equal(out.split('\n').filter((line) => line === '         x').length, 194)
  assert.match(out, / {8}106 more lines stand in the report/)
})

test('whoever asks for a run that is a task is told so', async (t) => {
  const { writ } = await openCommandLine(t, () => ({ location: '/api/v1/tasks/5' }))
  const { code, err } = await writ(['run', 'show', '5'])
  assert.equal(code, 1)
  assert.equal(err, 'writ: Run 5 is a task. "writ task show 5" shows it.\n')
})

test('a file that is not there leaves no run behind', async (t) => {
  const { writ, asked } = await openCommandLine(t)
  const { code, err } = await writ(['proof', 'run', '-t', '1', '/nowhere/x.cfg'])
  assert.equal(code, 2)
  assert.match(err, /^writ: There is no file \/nowhere\/x\.cfg\./)
  assert.deepEqual(asked, [])
})

test('an upload that arrived with another hash exits with 5 and says how to end the run', async (t) => {
  const { writ, folder } = await openCommandLine(t, ({ url }) =>
    url === '/runs' ? { json: run } : { json: { artifact: { sha256_hash: 'f'.repeat(64) }, message: 'ok' } },
  )
  await writeFile(join(folder, 'a.cfg'), 'a')
  const { code, err } = await writ(['proof', 'run', '-t', '1', join(folder, 'a.cfg')])
  assert.equal(code, 5)
  assert.match(err, /writ run cancel 12/)
  assert.match(err, /DIGEST_MISMATCH/)
})

for (const [state, verdict, exit] of [
  ['completed', 'passed', 0],
  ['completed', 'failed', 5],
  ['failed', null, 1],
  ['cancelled', null, 1],
  ['timeout', null, 124],
  ['waiting_approval', null, 4],
] as const) {
  test(`waiting for a run that ends as ${state} ${verdict ?? ''} exits with ${exit}`, async (t) => {
    const { writ } = await openCommandLine(t, () => ({ json: { ...run, state, verdict } }))
    assert.equal((await writ(['run', 'wait', '12'])).code, exit)
  })
}

test('a run that has not ended in time exits with 124 and goes on', async (t) => {
  const { writ } = await openCommandLine(t, () => ({ json: run }))
  const { code, err } = await writ(['run', 'wait', '12', '--timeout', '1'])
  assert.equal(code, 124)
  assert.match(err, /still waits for evidence after 1 s/)
})

test('a policy change that waits for a second admin exits with 4', async (t) => {
  const policy = { four_eyes: true, approver_roles: ['admin'], approval_ttl_hours: null, evidence_ttl_hours: 168 }
  const { writ, asked } = await openCommandLine(t, ({ method }) =>
    method === 'GET' ? { json: policy } : { json: { id, state: 'pending', policy, warnings: [] } },
  )
  assert.equal((await writ(['project', 'policy', '--evidence-hours', '72'])).code, 4)
  assert.deepEqual(JSON.parse(asked[1]?.body ?? ''), { ...policy, evidence_ttl_hours: 72 })
})

test('a login makes a token, keeps it for its owner only, and ends its session', async (t) => {
  const { writ, asked, settings, url } = await openCommandLine(t, ({ url: path }) => {
    if (path === '/auth/login') return { json: { access_token: 'jwt', token_type: 'bearer', expires_in: 1800 } }
    if (path === '/auth/me') return { json: { username: 'li.na', must_change_password: false } }
    if (path === '/projects') return { json: [{ slug: 'factory-a' }] }
    if (path === '/tokens') return { status: 201, json: { id, token: 'writ_new', expires_at: '2027-01-01T00:00:00Z' } }
    if (path === '/auth/logout' || path === `/tokens/${id}`) return { status: 204 }
    return undefined
  })
  const anonymous = { token: undefined }
  const login = await writ(['login', '-u', 'li.na', '--password-stdin'], 'correct horse\n', anonymous)
  assert.equal(login.code, 0, login.err)
  assert.deepEqual(JSON.parse(asked[0]?.body ?? ''), { username: 'li.na', password: 'correct horse' })
  const made = asked.find(({ url: path }) => path === '/tokens')
  assert.equal(made?.headers['x-project'], 'factory-a')
  assert.deepEqual(JSON.parse(made?.body ?? ''), { name: 'cli on desk' })
  assert.equal(asked.at(-1)?.url, '/auth/logout')

  const file = join(settings.configFolder, 'contexts.json')
  assert.equal((await stat(file)).mode & 0o777, 0o600)
  const name = `${new URL(url).host}/factory-a`
  assert.equal(JSON.parse(await readFile(file, 'utf8')).contexts[name].token, 'writ_new')
  assert.ok(!(await readFile(file, 'utf8')).includes('correct horse'))
  const listed = await writ(['context', 'list', '-o', 'json'], '', { ...anonymous, url: undefined })
  assert.equal(JSON.parse(listed.out)[0].name, name)
  assert.ok(!listed.out.includes('writ_new'))

  await writ(['whoami'], '', { ...anonymous, url: undefined })
  assert.equal(asked.at(-1)?.headers.authorization, 'Bearer writ_new')
  assert.equal(asked.at(-1)?.headers['x-project'], 'factory-a')

  assert.equal((await writ(['logout'], '', { ...anonymous, url: undefined })).code, 0)
  assert.equal(`${asked.at(-1)?.method} ${asked.at(-1)?.url}`, `DELETE /tokens/${id}`)
  assert.deepEqual(JSON.parse(await readFile(file, 'utf8')), { current: null, contexts: {} })
})

test('the token of a context goes to no other server', async (t) => {
  const { writ, asked, settings, url } = await openCommandLine(t, () => ({ json: { username: 'x', permissions: [] } }))
  const context = { url: 'http://other.test', project: 'default', username: 'x', token: 'writ_x', token_id: null }
  const { saveContexts } = await import('./contexts.ts')
  await saveContexts(settings.configFolder, { current: 'c', contexts: { c: { ...context, expires_at: null } } })
  await writ(['whoami', '--url', url], '', { token: undefined, url: undefined })
  assert.equal(asked[0]?.headers.authorization, undefined)
})

test('the server of a login stands as a word, too, and only one is named', async (t) => {
  const { writ, asked, settings, url } = await openCommandLine(t, ({ url: path }) => {
    if (path === '/auth/me') return { json: { username: 'li.na', must_change_password: false } }
    if (path === '/projects') return { json: [{ slug: 'factory-a' }] }
    return undefined
  })
  const anonymous = { token: undefined, url: undefined }
  const two = await writ(['login', url, '--url', 'http://other.test', '--token-stdin'], 'writ_x\n', anonymous)
  assert.deepEqual([two.code, asked.length], [2, 0])
  assert.match(two.err, /Two servers are named/)
  const login = await writ(['login', `${url}/`, '--token-stdin'], 'writ_x\n', anonymous)
  assert.equal(login.code, 0, login.err)
  const { contexts } = JSON.parse(await readFile(join(settings.configFolder, 'contexts.json'), 'utf8'))
  assert.deepEqual(
    Object.values(contexts as Record<string, { url: string }>).map((one) => one.url),
    [url],
  )
})

test('a login without a terminal and without flags says which flag is missing', async (t) => {
  const { writ } = await openCommandLine(t)
  const { code, err } = await writ(['login'])
  assert.equal(code, 2)
  assert.match(err, /User name is needed\. Give it with --username\./)
})

test('a download is checked, named without its folders, and never overwrites', async (t) => {
  const sha256 = '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824'
  const { writ, folder } = await openCommandLine(t, ({ url }) =>
    url.endsWith('/download')
      ? { bytes: Buffer.from(url.includes('/31/') ? 'hello' : 'hullo') }
      : { json: { number: 31, filename: '../../etc/passwd', sha256_hash: sha256, size_bytes: 5 } },
  )
  const to = join(folder, 'got')
  assert.equal((await writ(['artifact', 'get', '31', '--to', to])).code, 0)
  assert.equal(await readFile(to, 'utf8'), 'hello')
  assert.equal((await writ(['artifact', 'get', '31', '--to', to])).code, 1)
  assert.equal((await writ(['artifact', 'get', '32', '--to', join(folder, 'bad')])).code, 5)
  assert.deepEqual((await readdir(folder)).includes('bad'), false)
  assert.equal((await writ(['artifact', 'get', '31', '--to', '-'])).out, 'hello')
})

test('a command that needs the server package says so when it is not there', async (t) => {
  const { loadOperation } = await import('./operations.ts')
  const missing = Object.assign(new Error("Cannot find package '@writ/server'"), { code: 'ERR_MODULE_NOT_FOUND' })
  await assert.rejects(
    loadOperation('doctor', () => Promise.reject(missing)),
    /needs @writ\/server beside the CLI/,
  )
  await assert.rejects(
    loadOperation('doctor', () => Promise.resolve({ backup() {} })),
    /has no operation "doctor"/,
  )
  t.diagnostic('no server was started')
})

test('a rule set is published under its name, without the version that is the server’s to give', async (t) => {
  const { writ, asked, folder } = await openCommandLine(t, () => ({
    json: { name: 'a', version: 2, digest: 'd', superseded: [{ validator: 'fields@4', newest: 'fields@5' }] },
  }))
  const file = join(folder, 'rules.yaml')
  await writeFile(file, 'name: a\nversion: 1.0.0\nrules:\n  - validator: size@1\n')
  assert.equal((await writ(['rules', 'publish', file, '-q'])).out, 'a@2\n')
  assert.deepEqual(JSON.parse(asked[0]?.body ?? ''), { name: 'a', definition: { rules: [{ validator: 'size@1' }] } })
  assert.match((await writ(['rules', 'publish', file])).out, /Newer checks +fields@5 instead of fields@4/)
  await writeFile(file, 'name: [a\n')
  assert.equal((await writ(['rules', 'publish', file])).code, 2)
})

test('a handler is added with its address, and its secret is shown', async (t) => {
  const { writ, asked } = await openCommandLine(t, () => ({
    json: {
      name: 'vlan.add',
      source: 'http',
      disabled: false,
      per_key: null,
      timeout_ms: 60_000,
      ttl_ms: 900_000,
      secret: 'whsec_1',
    },
  }))
  const { code, out } = await writ(
    ['handler', 'add', 'vlan.add', 'https://hooks.example.com/vlan'].concat('--attempts', '5', '--ttl', '15m'),
  )
  assert.equal(code, 0)
  assert.match(out, /whsec_1/)
  assert.match(out, /^Ends within +15m$/m)
  assert.deepEqual(JSON.parse(asked[0]?.body ?? ''), {
    name: 'vlan.add',
    url: 'https://hooks.example.com/vlan',
    max_attempts: 5,
    ttl_ms: 900_000,
  })
})

for (const [words, said] of [
  [['help', 'ticket', 'open'], /^Usage: writ ticket open /],
  [['help', 'ticket'], /^Usage: writ ticket /],
  [['help'], /^Usage: writ /],
] as const) {
  test(`"writ ${words.join(' ')}" tells of that command`, async (t) => {
    const { writ } = await openCommandLine(t)
    const { code, out } = await writ(words)
    assert.equal(code, 0)
    assert.match(out, said)
  })
}

test('help for a command that is not there says so, with the one that may be meant', async (t) => {
  const { writ } = await openCommandLine(t)
  const { code, out, err } = await writ(['help', 'ticket', 'opne'])
  assert.equal(code, 2)
  assert.equal(out, '')
  assert.match(err, /unknown command 'opne'\n\(Did you mean open\?\)/)
})

for (const [words, meant] of [
  [['ticket', 'create', '--title', 'x'], 'open'],
  [['user', 'create', 'wei'], 'add'],
  [['token', 'add', 'ci'], 'create'],
  [['schedule', 'update', 'nightly'], 'change'],
  [['webhook', 'rm', 'w'], 'disable or delete'],
  [['help', 'ticket', 'create'], 'open'],
] as const)
  test(`who says "writ ${words.join(' ')}" hears what it is called here`, async (t) => {
    const { writ } = await openCommandLine(t)
    const { code, out, err } = await writ(words)
    assert.deepEqual([code, out], [2, ''])
    assert.ok(err.endsWith(`(Did you mean ${meant}?)\nAdd --help for usage and examples.\n`), err)
  })

test('a word that means nothing here is refused without a guess', async (t) => {
  const { writ } = await openCommandLine(t)
  assert.doesNotMatch((await writ(['ticket', 'frobnicate'])).err, /Did you mean/)
})

test('help says which options have to be given, and of a flag no default', async (t) => {
  const { writ } = await openCommandLine(t)
  assert.match((await writ(['artifact', 'upload', '--help'])).out, /--run <run> +the run \(required\)/)
  assert.doesNotMatch((await writ(['ticket', 'list', '--help'])).out, /default: false/)
})

for (const shell of ['bash', 'zsh', 'fish']) {
  test(`completion for ${shell} knows commands and their options`, async (t) => {
    const { writ } = await openCommandLine(t)
    const { out } = await writ(['completion', shell])
    assert.match(out, /reset-password/)
    assert.match(out, shell === 'fish' ? /-l rules/ : /--rules/)
    assert.match(
      out,
      shell === 'fish' ? /-l verdict -x -a 'passed failed'/ : /'run list --verdict'\) words='passed failed'/,
    )
    assert.match(out, /bash zsh fish|-a zsh/)
  })
}

test('events are printed a line each, without what would move a cursor; as JSON they can be piped', async (t) => {
  const event = {
    id: 'e',
    time: '2026-01-05T08:00:00.000Z',
    sequence: '00000-000000000001',
    data: {
      event_type: 'ticket.created',
      resource_type: 'ticket',
      resource_number: 7,
      actor_username: 'bob',
      actor_kind: 'user',
      action: 'Created ticket: \u001b[31mred',
    },
  }
  const stream = new TextEncoder().encode(`id: 0\n\nid: ${event.sequence}\ndata: ${JSON.stringify(event)}\n\n`)
  const { writ, asked } = await openCommandLine(t, ({ url }) =>
    url.startsWith('/events') ? { bytes: stream } : undefined,
  )
  const { out } = await writ(['watch', 'ticket.*', '--after', '0', '--count', '1'])
  assert.match(out, /ticket\.created {2}ticket #7 {2}bob {2}Created ticket: \ufffd\[31mred\n$/)
  assert.equal(asked[0]?.url, '/events?after=0&types=ticket.*')
  const piped = await writ(['watch', '-o', 'json', '--count', '1'])
  assert.deepEqual(JSON.parse(piped.out), event)
})

test('a webhook is added with its headers, and its secret is shown', async (t) => {
  const webhook = {
    id: '01900000-0000-7000-8000-000000000001',
    name: 'hooks.example.com',
    format: 'cloudevents',
    url: 'https://hooks.example.com/writ',
    events: ['run.*'],
    header_names: ['authorization'],
    state: 'active',
    disabled_reason: null,
    disabled_by_id: null,
    failing_since: null,
    previous_secret_until: null,
    handlers: [],
    ordered: false,
    held_up_by: null,
    created_by_id: '01900000-0000-7000-8000-000000000002',
    created_at: '2026-01-05T08:00:00.000Z',
    updated_at: '2026-01-05T08:00:00.000Z',
    secret: 'whsec_c2VjcmV0',
  }
  const { writ, asked } = await openCommandLine(t, () => ({ status: 201, json: webhook }))
  const add = ['webhook', 'add', webhook.url, '--events', 'run.*', '--header', 'authorization: Bearer x:y']
  const { out, code } = await writ(add)
  assert.equal(code, 0)
  assert.match(out, /Secret +whsec_c2VjcmV0/)
  assert.deepEqual(JSON.parse(asked[0]?.body ?? ''), {
    url: webhook.url,
    name: 'hooks.example.com',
    events: ['run.*'],
    headers: { authorization: 'Bearer x:y' },
  })
  const wrong = await writ([...add.slice(0, -1), 'no header'])
  assert.equal(wrong.code, 2)
  assert.equal((await writ(['webhook', 'add', webhook.url, '--handlers', 'vlan.add', '--ordered'])).code, 0)
  assert.deepEqual(JSON.parse(asked.at(-1)?.body ?? ''), {
    url: webhook.url,
    name: 'hooks.example.com',
    handlers: ['vlan.add'],
    ordered: true,
  })
  assert.equal((await writ(['webhook', 'add', webhook.url])).code, 2)
})

test('webhooks go by their names, unless several have one', async (t) => {
  const one = { id: '01900000-0000-7000-8000-000000000001', name: 'chat', url: 'https://a.example.com/' }
  const two = { ...one, id: '01900000-0000-7000-8000-000000000002', url: 'https://b.example.com/' }
  const other = { ...one, id: '01900000-0000-7000-8000-000000000003', name: 'ops' }
  const { writ, asked } = await openCommandLine(t, ({ method }) =>
    method === 'GET' ? { json: [one, two, other] } : { status: 204 },
  )
  const deleted = await writ(['webhook', 'delete', 'ops'])
  assert.deepEqual([deleted.code, deleted.err], [0, `Deleted ops (${other.id}).\n`])
  assert.equal(asked.at(-1)?.url, `/webhooks/${other.id}`)
  const both = await writ(['webhook', 'delete', 'chat'])
  assert.equal(both.code, 2)
  assert.match(
    both.err,
    /2 webhooks are called "chat": \S+1 \(to https:\/\/a\S+, \S+2 \(to https:\/\/b\S+\. Give the id of one/,
  )
  assert.match(
    (await writ(['webhook', 'test', 'none'])).err,
    /There is no webhook "none" here\. "writ webhook list" shows them/,
  )
  assert.equal(asked.filter(({ method }) => method !== 'GET').length, 1)
})

test('a schedule is added with its times, and times that are not saved are shown', async (t) => {
  const schedule = {
    id: '01900000-0000-7000-8000-000000000001',
    name: 'nightly',
    handler: 'system.ping',
    state: 'active',
    paused_at: null,
    paused_by_id: null,
    paused_reason: null,
    paused_cause: null,
    cron: null,
    every_seconds: 5_400,
    at: null,
    zone: 'UTC',
    dst_gap: 'after',
    dst_overlap: 'first',
    catch_up: 'last',
    catch_up_limit: 10,
    when_running: 'skip',
    starts_at: null,
    ends_at: null,
    options: { queue: 'night', priority: 1 },
    callback: { url: 'https://hooks.example/nightly?…' },
    next_at: '2026-01-05T09:30:00.000Z',
    last_due_at: null,
    last_run_id: null,
    version: 1,
    owner_id: '01900000-0000-7000-8000-000000000002',
    created_by_id: '01900000-0000-7000-8000-000000000002',
    created_at: '2026-01-05T08:00:00.000Z',
    updated_at: '2026-01-05T08:00:00.000Z',
    input: { n: 1 },
    next: ['2026-01-05T09:30:00.000Z'],
    fires: [],
  }
  const { writ, asked } = await openCommandLine(t, ({ url }) =>
    url.endsWith('/preview')
      ? { status: 200, json: { zone: 'Asia/Shanghai', next: ['2026-01-06T01:00:00.000Z'] } }
      : { status: 201, json: schedule },
  )
  const add = [
    'schedule',
    'add',
    'nightly',
    'system.ping',
    '--every',
    '90m',
    '--input',
    '{"n":1}',
    '--when-running',
    'skip',
    '--attempts',
    '3',
    '--limit',
    '90',
    '--concurrency-key',
    '客户 17',
    '--ttl',
    '6h',
    '--callback',
    'https://hooks.example/nightly?k=1',
  ]
  const { out, code } = await writ(add)
  assert.equal(code, 0)
  assert.match(out, /every 5400 s/)
  assert.match(out, /^Input +\{"n":1\}$/m)
  assert.match(out, /^Its tasks +queue night$/m)
  assert.match(out, /^Tells +https:\/\/hooks\.example\/nightly\?…$/m)
  assert.deepEqual(JSON.parse(asked[0]?.body ?? ''), {
    name: 'nightly',
    handler: 'system.ping',
    every_seconds: 5_400,
    input: { n: 1 },
    when_running: 'skip',
    options: { max_attempts: 3, timeout_ms: 90_000, concurrency_key: '客户 17', ttl_ms: 21_600_000 },
    callback: { url: 'https://hooks.example/nightly?k=1' },
  })
  const next = await writ(['schedule', 'next', '--cron', '0 9 * * *', '--zone', 'Asia/Shanghai'])
  assert.match(next.out, /2026-01-06 01:00:00Z/)
  assert.deepEqual(JSON.parse(asked[1]?.body ?? ''), { cron: '0 9 * * *', zone: 'Asia/Shanghai' })
  assert.equal((await writ(['schedule', 'add', 'x', 'y', '--every', '90m', '--cron', '* * * * *'])).code, 2)
  assert.equal((await writ(['schedule', 'add', 'x', 'y', '--every', 'often'])).code, 2)
  const changed = await writ(['schedule', 'change', schedule.id, '--gap', 'skip', '--priority', '5', '--handler', 'x'])
  assert.equal(changed.code, 0)
  assert.deepEqual(JSON.parse(asked.at(-1)?.body ?? ''), {
    handler: 'x',
    dst_gap: 'skip',
    options: { priority: 5 },
  })
  const dropped = ['--no-queue', '--no-priority', '--no-attempts', '--no-limit', '--no-concurrency-key', '--no-ttl']
  const rest = ['--no-callback', '--no-tag', '--no-from', '--no-until', '--metadata', '{"room": null, "floor": 2}']
  assert.equal((await writ(['schedule', 'change', schedule.id, ...dropped, ...rest])).code, 0)
  assert.deepEqual(JSON.parse(asked.at(-1)?.body ?? ''), {
    starts_at: null,
    ends_at: null,
    options: {
      queue: null,
      priority: null,
      max_attempts: null,
      timeout_ms: null,
      concurrency_key: null,
      ttl_ms: null,
      tags: null,
      metadata: { room: null, floor: 2 },
    },
    callback: null,
  })
  assert.equal((await writ(['schedule', 'change', schedule.id, '--no-metadata'])).code, 0)
  assert.deepEqual(JSON.parse(asked.at(-1)?.body ?? ''), { options: { metadata: null } })
  assert.equal((await writ(['schedule', 'change', schedule.id, '--metadata', '[1]'])).code, 2)
  assert.equal((await writ(['schedule', 'change', schedule.id, '--no-callback'])).code, 0)
  assert.deepEqual(JSON.parse(asked.at(-1)?.body ?? ''), { callback: null })
  assert.equal((await writ(['schedule', 'change', schedule.id])).code, 2)
  assert.equal((await writ(['schedule', 'change', schedule.id, '--at', '2026-01-07', '--every', '1h'])).code, 2)
})

test('why the server paused a schedule is said with what to do; a person is quoted', async (t) => {
  const of = (paused_reason: string, paused_cause: object | null) => ({
    json: {
      name: 'nightly',
      state: 'paused',
      paused_reason,
      paused_cause,
      options: {},
      next: [],
      fires: [],
      cron: '@daily',
    },
  })
  let answer = of('english', { code: 'refused', refusals: 10, error_code: 'TASK_UNKNOWN_HANDLER' })
  const { writ } = await openCommandLine(t, () => answer)
  const show = async () => (await writ(['schedule', 'show', 'nightly'])).out
  assert.match(
    await show(),
    /started nothing 10 times in a row, the last time TASK_UNKNOWN_HANDLER\.\n.*writ schedule resume nightly/,
  )
  answer = of('english', { code: 'owner_denied', refusals: null, error_code: null })
  assert.match(await show(), /its owner may not dispatch tasks here any more\.\n.*writ schedule resume nightly/)
  answer = of('holidays', null)
  assert.match(await show(), /^Because +holidays$/m)
})

test('many runs are counted, and taken a hundred at a time only with --yes', async (t) => {
  const run = '01900000-0000-7000-8000-000000000001'
  const { writ, asked } = await openCommandLine(t, ({ url, body }) =>
    url.endsWith('/preview')
      ? { json: { count: 150, more: false } }
      : url.endsWith('/cancel')
        ? { json: { cancelled: JSON.parse(body).limit, left: 7 } }
        : { json: { started: [{ id: run, number: 9, verifies_run_id: run }], last: 4, left: 0 } },
  )
  const filter = ['--script', 'proof.file_hash', '--until', '2026-11-01']
  assert.match((await writ(['run', 'cancel', ...filter])).out, /Would be cancelled +150/)
  const choice = { script_id: 'proof.file_hash', created_before: '2026-11-01T00:00:00.000Z' }
  assert.deepEqual(JSON.parse(asked[0]!.body), { act: 'cancel', ...choice })
  assert.equal(asked.length, 1)
  assert.match((await writ(['run', 'cancel', ...filter, '--reason', 'moved', '--yes'])).out, /Cancelled +150/)
  assert.deepEqual(
    asked.slice(2).map(({ body }) => JSON.parse(body)),
    [
      { ...choice, limit: 100, reason: 'moved' },
      { ...choice, limit: 50, reason: 'moved' },
    ],
  )
  assert.match((await writ(['run', 'verify', ...filter, '--verdict', 'failed', '--yes'])).out, /Judged again +1/)
  assert.deepEqual(JSON.parse(asked.at(-1)!.body), { ...choice, verdict: 'failed', after: 0, limit: 100 })
  for (const line of [['cancel'], ['cancel', '7', ...filter], ['verify'], ['verify', ...filter, '--wait']])
    assert.equal((await writ(['run', ...line])).code, 2)
})

test('many tasks are counted, and with --yes cancelled a thousand at a time, those that wait first', async (t) => {
  const { writ, asked } = await openCommandLine(t, ({ url, body }) => {
    if (url.endsWith('/preview')) return { json: { count: 1_203, more: false } }
    const { state, limit } = JSON.parse(body)
    return {
      json: state === 'running' ? { cancelled: 0, stopping: 3, left: 0 } : { cancelled: limit, stopping: 0, left: 200 },
    }
  })
  const filter = ['--handler', 'test.waits', '--tag', 'nightly']
  const choice = { handler: 'test.waits', tag: 'nightly', created_before: '2026-10-21T07:28:00.000Z' }
  assert.match((await writ(['task', 'cancel', ...filter])).out, /Would be cancelled +1203/)
  assert.deepEqual(
    asked.map(({ body }) => JSON.parse(body)),
    [{ ...choice, open: true }],
  )
  asked.length = 0
  const done = await writ(['task', 'cancel', ...filter, '--reason', 'a freeze', '-s', 'pending', '--yes'])
  assert.match(done.out, /Cancelled +1203/)
  assert.deepEqual(
    asked.slice(1).map(({ body }) => JSON.parse(body)),
    [1_000, 203].map((limit) => ({ ...choice, state: 'pending', limit, reason: 'a freeze' })),
  )
  for (const line of [
    ['cancel'],
    ['cancel', '-s', 'running'],
    ['cancel', '7', ...filter],
    ['replay', ...filter],
    ['replay', '-s', 'failed'],
  ])
    assert.equal((await writ(['task', ...line])).code, 2)
})

test('of many, what was done before a request failed is said, and that the same command takes the rest', async (t) => {
  const { writ, asked } = await openCommandLine(t, ({ url, body }) => {
    if (url.endsWith('/preview')) return { json: { count: 2_500, more: false, not_replayed: [] } }
    if (asked.length > 2) return { status: 500, json: problem('INTERNAL', 500) }
    const { limit } = JSON.parse(body)
    return url.startsWith('/dead')
      ? { json: { replayed: Array(limit).fill({ number: 1 }), not_replayed: [], left: 1_500 } }
      : { json: { cancelled: limit, stopping: 0, left: 1_500 } }
  })
  for (const [line, done] of [
    [['task', 'cancel', '--queue', 'night'], 1_000],
    [['dlq', 'replay', '--queue', 'night'], 1_000],
    [['run', 'cancel', '--script', 'proof.size'], 100],
  ] as const) {
    asked.length = 0
    const { code, err } = await writ([...line, '--yes'])
    assert.match(err, new RegExp(`^Done for ${done} before this failed; the same command takes the rest\\.\nwrit: `))
    assert.equal(code, 1)
  }
})

test('what of many tasks runs is asked to stop, after those that wait', async (t) => {
  const { writ, asked } = await openCommandLine(t, ({ url, body }) => {
    if (url.endsWith('/preview')) return { json: { count: 5, more: false } }
    return {
      json:
        JSON.parse(body).state === 'running'
          ? { cancelled: 0, stopping: 3, left: 0 }
          : { cancelled: 2, stopping: 0, left: 0 },
    }
  })
  const { out } = await writ(['task', 'cancel', '--queue', 'night', '--yes'])
  assert.match(out, /Cancelled +2\nAsked to stop +3/)
  assert.deepEqual(
    asked.slice(1).map(({ body }) => [JSON.parse(body).state, JSON.parse(body).limit]),
    [
      ['pending', 5],
      ['running', 3],
    ],
  )
})

test('a number that would be sent as another is refused, in files too, and the same fault is told in the same words', async (t) => {
  const { writ, asked, folder } = await openCommandLine(t)
  const file = join(folder, 'numbers.yaml')
  for (const number of ['12345678901234567890', '1e400']) {
    await writeFile(file, `{"name": "x",\n "rules": [${number}]}`)
    for (const line of [
      ['rules', 'publish', file],
      ['proof', 'run', '-t', '1', file, '--params', file],
    ])
      assert.match((await writ(line)).err, /numbers\.yaml has a number that would not keep all its digits, at line 2/)
    const schema = await writ(['handler', 'add', 'x', 'https://x/', '--input-schema', file])
    assert.match(schema.err, /has a number that would not keep all its digits, at \.rules\.0/)
  }
  for (const [option, line] of [
    ['--data', ['run', 'start', '-t', '1', '--data']],
    ['--metadata', ['task', 'run', 'x', '--metadata']],
    ['--metadata', ['schedule', 'add', 's', 'x', '--cron', '0 0 * * *', '--metadata']],
  ] as const) {
    const look = `It looks like '{"name": "value"}'.`
    for (const [text, why] of [
      ['[1]', 'is no object'],
      ['null', 'is no object'],
      ['{', 'is no JSON'],
    ] as const)
      assert.ok(
        (await writ([...line, text])).err.startsWith(`writ: ${option} ${why}. ${look}`),
        (await writ([...line, text])).err,
      )
  }
  assert.deepEqual(asked, [])
})

test('tasks that ended so are replayed by a filter, at most a thousand in a call', async (t) => {
  const { writ, asked } = await openCommandLine(t, ({ url }) =>
    url.endsWith('/preview')
      ? { json: { count: 1_500, more: false, not_replayed: [] } }
      : { json: { replayed: [{ id, number: 9, replays_run_id: id }], not_replayed: [] } },
  )
  const line = ['task', 'replay', '-s', 'failed', '--error', 'HTTP_500', '--until', '2026-11-01']
  assert.match((await writ(line)).out, /Would be replayed +1500\nNext +--yes replays the oldest 1000/)
  const choice = { state: 'failed', error_code: 'HTTP_500', created_before: '2026-11-01T00:00:00.000Z' }
  assert.deepEqual(
    asked.map(({ body }) => JSON.parse(body)),
    [choice],
  )
  assert.equal((await writ(['-q', ...line, '--yes'])).out, '9\n')
  assert.deepEqual(JSON.parse(asked.at(-1)!.body), { ...choice, limit: 1_000 })
})

test('a limit under a concurrency key is sent as it was said: "none" is any number, what was left out stays', async (t) => {
  const key = { key: 'customer 17', active: 0, waiting: 0, paused_until: null }
  const limit = {
    handler: null,
    concurrency: null,
    until: null,
    reason: 'as agreed',
    by: null,
    at: '2026-11-01T00:00:00Z',
  }
  const { writ, asked } = await openCommandLine(t, () => ({ json: { ...key, limits: [limit] } }))
  const any = await writ(['queue', 'limit-key', 'customer 17', '--concurrency', 'none', '--reason', 'as agreed'])
  assert.match(any.out, /Limit +any number at once \(as agreed\)/)
  await writ([
    'queue',
    'limit-key',
    'customer 17',
    '--handler',
    'h',
    '--concurrency',
    '2',
    '--rate',
    '10/60',
    '--reason',
    'r',
  ])
  await writ(['queue', 'limit-key', 'customer 17', '--rate', 'none', '--until', '2026-11-02', '--reason', 'r'])
  assert.deepEqual(
    asked.map(({ body }) => JSON.parse(body)),
    [
      { key: 'customer 17', concurrency: null, reason: 'as agreed' },
      { key: 'customer 17', handler: 'h', concurrency: 2, rate: { limit: 10, period_ms: 60_000 }, reason: 'r' },
      { key: 'customer 17', rate: null, until: '2026-11-02T00:00:00.000Z', reason: 'r' },
    ],
  )
  assert.equal((await writ(['queue', 'limit-key', 'k', '--concurrency', '0', '--reason', 'r'])).code, 2)
})

for (const [line, query] of [
  [
    ['task', 'list', '--text', 'port 7', '--key', 'k', '--error', 'HTTP_500', '--batch', id, '--since', '2026-11-01'],
    { q: 'port 7', unique_key: 'k', error_code: 'HTTP_500', batch: id, created_after: '2026-11-01T00:00:00.000Z' },
  ],
  [['run', 'list', '--text', 'core'], { q: 'core' }],
  [['batch', 'list'], {}],
] as const) {
  test(`a list asks for what was named: ${line.join(' ')}`, async (t) => {
    const { writ, asked } = await openCommandLine(t, () => ({ json: { items: [], next_cursor: null } }))
    assert.equal((await writ([...line])).code, 0)
    const { limit: _, cursor: __, ...sent } = Object.fromEntries(new URL(asked[0]!.url, 'http://x').searchParams)
    assert.deepEqual(sent, query)
  })
}

test('who has never logged in is told how, with the exit code of somebody who is not logged in', async (t) => {
  const { writ, asked } = await openCommandLine(t, undefined, { url: undefined, token: undefined })
  const { code, err } = await writ(['ticket', 'list'])
  assert.equal(code, 3)
  assert.match(err, /^writ: No server is known yet\. Run "writ login --url /)
  assert.deepEqual(asked, [])
})

test('what cannot be a token is told as that, before anything is asked', async (t) => {
  for (const token of ['writ_a writ_b', '令牌', 'writ_a\nx']) {
    const { writ, asked } = await openCommandLine(t, undefined, { token })
    const { code, err } = await writ(['ticket', 'list'])
    assert.equal(code, 2)
    assert.match(err, /^writ: What was given as a token is none\. It is one word/)
    assert.deepEqual(asked, [])
  }
})

test('an option that says nothing without another names it', async (t) => {
  const { writ } = await openCommandLine(t)
  const { err } = await writ(['task', 'run', 'x', '--after-anyway'])
  assert.equal(err, 'writ: --after-anyway says nothing without --after. Add --help for usage and examples.\n')
})

test('who names dead letters hears of those that are none', async (t) => {
  const again = { id, number: 91, duplicate: false, replays_run_id: id }
  const { writ } = await openCommandLine(t, ({ url }) =>
    url.endsWith('/purge') ? { json: { purged: 1 } } : { json: { replayed: [again], not_replayed: [], left: 0 } },
  )
  const all = await writ(['dlq', 'replay', '90'])
  assert.deepEqual([all.code, all.err, all.out.trim()], [0, '', 'Replayed  1'])
  const some = await writ(['dlq', 'replay', '90', '91', '92'])
  assert.deepEqual([some.code, some.out.trim()], [1, 'Replayed  1'])
  assert.match(some.err, /^writ: 2 of the 3 tasks are not among the dead letters/)
  // By a filter it is what it is.
  assert.equal((await writ(['dlq', 'replay', '--queue', 'mail', '--yes'])).code, 0)
  const purged = await writ(['dlq', 'purge', '90', '91', '--yes'])
  assert.deepEqual([purged.code, purged.out.trim()], [1, 'Purged  1'])
  const busy = { error_code: 'TASK_DUPLICATE', handler: null, count: 1, first: [{ id, number: 90 }] }
  const { writ: held } = await openCommandLine(t, () => ({
    json: { replayed: [again], not_replayed: [busy], left: 1 },
  }))
  const stays = await held(['dlq', 'replay', '90', '91'])
  assert.deepEqual(
    [stays.code, stays.out.split('\n')[1]],
    [1, 'Left      1; 1, because another task with the same unique key has not ended (#90)'],
  )
  assert.match(stays.err, /^writ: Of those that were named, 1 stayed as they are/)
  const { writ: other } = await openCommandLine(t, () => ({ json: { replayed: [], not_replayed: [], left: 0 } }))
  assert.match((await other(['dlq', 'replay', '90'])).err, /^writ: Task 90 is not among the dead letters/)
})

test('a count of what a replay takes says what cannot be replayed, and why', async (t) => {
  const off = { error_code: 'HANDLER_DISABLED', handler: 'mail', count: 2, first: [{ id, number: 7 }] }
  const { writ } = await openCommandLine(t, () => ({ json: { count: 5, more: false, not_replayed: [off] } }))
  const said = [
    'Would be replayed  3',
    'Not replayed       2, because handler mail is disabled (#7 ...)',
    'Next               say --yes to do it',
  ]
  for (const line of [
    ['dlq', 'replay', '--queue', 'mail'],
    ['task', 'replay', '-s', 'failed', '--queue', 'mail'],
  ]) {
    assert.deepEqual((await writ(line)).out.trim().split('\n'), said)
    assert.deepEqual(JSON.parse((await writ(['-o', 'json', ...line])).out), { count: 3, not_replayed: [off] })
  }
})

test('all dead letters that a filter takes are replayed, a thousand in a call, and none that died since', async (t) => {
  const again = { id, number: 91, duplicate: false, replays_run_id: id }
  const { writ, asked } = await openCommandLine(t, ({ url, body }) => {
    if (url.endsWith('/preview')) return { json: { count: 2_500, not_replayed: [] } }
    const { limit } = JSON.parse(String(body)) as { limit: number }
    // As many die again as were replayed.
    return { json: { replayed: Array(limit).fill(again), not_replayed: [], left: 2_500 } }
  })
  const done = await writ(['-o', 'json', 'dlq', 'replay', '--queue', 'mail', '--yes'])
  assert.equal((JSON.parse(done.out) as { replayed: unknown[] }).replayed.length, 2_500)
  assert.deepEqual(
    asked.flatMap(({ url, body }) => (url.endsWith('/replay') ? [JSON.parse(String(body))] : [])),
    [1_000, 1_000, 500].map((limit) => ({ queue: 'mail', limit })),
  )
})

test('dead letters that a filter takes are counted, and replayed only with --yes; those that are named at once', async (t) => {
  const again = { id, number: 91, duplicate: false, replays_run_id: id }
  const { writ, asked } = await openCommandLine(t, ({ url }) =>
    url.endsWith('/preview') ? { json: { count: 1_200, not_replayed: [] } } : { json: { replayed: [again], left: 0 } },
  )
  const paths = () => asked.splice(0).map(({ url }) => url)
  const counted = await writ(['dlq', 'replay', '--queue', 'mail'])
  assert.deepEqual([counted.code, counted.err], [0, ''])
  assert.match(counted.out, /^Would be replayed +1200\nNext +say --yes to do it\n$/)
  assert.deepEqual(paths(), ['/dead-letters/preview'])
  assert.match((await writ(['dlq', 'replay', '--queue', 'mail', '--yes'])).out, /^Replayed +1\n$/)
  assert.match((await writ(['dlq', 'replay', '90'])).out, /^Replayed +1\n$/)
  assert.deepEqual(paths(), ['/dead-letters/preview', '/dead-letters/replay', '/dead-letters/replay'])
  await writ(['dlq', 'replay', '90', '--preview'])
  assert.deepEqual(paths(), ['/dead-letters/preview'])
})

test('a forwarding task completes as documented, and whoever waited is told which addresses failed', async (t) => {
  const ended = {
    ...{ id, number: 7, handler: 'proxy_forward', state: 'completed', completed_at: '2026-11-01T00:00:00Z' },
    result: {
      ...{ count: 2, success: 1, failed: 1 },
      results: [
        { url: 'http://a.example/', status: 200, ok: true, response: 'fine' },
        { url: 'http://b.example/', status: 0, ok: false, error: 'timeout' },
      ],
    },
  }
  const told = 'Completed, but 1 of 2 addresses failed: http://b.example/ (timeout)\n'
  const { writ } = await openCommandLine(t, () => ({ json: ended }))
  const waited = await writ(['task', 'wait', '7'])
  assert.deepEqual([waited.code, waited.err, JSON.parse(waited.out)], [0, told, ended.result])
  const data = await writ(['-o', 'json', 'task', 'wait', '7'])
  assert.deepEqual([data.err, JSON.parse(data.out)], [told, ended])
  // A handler of one's own may answer with anything.
  const own = await openCommandLine(t, () => ({ json: { ...ended, handler: 'own.forward' } }))
  assert.equal((await own.writ(['task', 'wait', '7'])).err, '')
})

test('what would be cancelled in a queue that there is not is no number', async (t) => {
  const { writ, asked } = await openCommandLine(t, () => ({ json: [] }))
  const { code, err, out } = await writ(['queue', 'drain', 'nigth'])
  assert.deepEqual([code, out, asked.length], [1, '', 1])
  assert.match(err, /^writ: This project has no queue called "nigth"\. /)
})

test('of a configuration with mistakes only these are told', async (t) => {
  const { writ, folder } = await openCommandLine(t)
  process.env.RATE_LIMIT_MAX = 'thirty'
  t.after(() => delete process.env.RATE_LIMIT_MAX)
  const { code, out, err } = await writ(['config', 'check', '--data-dir', folder])
  assert.deepEqual([code, out], [1, ''])
  assert.match(err, /^writ: RATE_LIMIT_MAX \(environment\): expected [^\n]*\n$/)
})

test('a debounced task says how long it waits at most', async (t) => {
  const { writ, asked } = await openCommandLine(t, () => ({ status: 201, json: { id, number: 7, duplicate: false } }))
  const { code, err } = await writ(['task', 'run', 'x', '--key', 'k', '--debounce', '5', '--max-wait', '60'])
  assert.equal(code, 0, err)
  assert.deepEqual(JSON.parse(asked[0]!.body), {
    handler: 'x',
    input: {},
    unique_key: 'k',
    debounce: { wait_ms: 5_000, max_wait_ms: 60_000 },
  })
})

const people = [
  { id, number: 3, username: 'li.na', role: 'dev', is_active: true },
  { id: id.replace('01a', '02a'), number: 4, username: 'li.nan', role: 'dev', is_active: true },
]

test('a list that was cut says so beside it, in every format', async (t) => {
  const { writ } = await openCommandLine(t, ({ url }) => {
    const at = new URL(url, 'http://x').searchParams
    const items = Array.from({ length: Number(at.get('limit')) }, () => ticket)
    return { json: { items, next_cursor: at.get('cursor') === 'last' ? null : 'last' } }
  })
  const remark = 'The first 2 are shown; there are more: --all, or --limit.\n'
  assert.equal((await writ(['ticket', 'list', '-n', '2'])).err, remark)
  const { out, err } = await writ(['ticket', 'list', '-n', '2', '-o', 'json'])
  assert.deepEqual([JSON.parse(out).length, err], [2, remark])
  assert.equal((await writ(['ticket', 'list', '-n', '2', '-q'])).err, '')
  const all = await writ(['ticket', 'list', '--all', '-o', 'json'])
  assert.deepEqual([JSON.parse(all.out).length, all.err], [1_000, ''])
})

test('people are named by their user names wherever a user is meant', async (t) => {
  const { writ, asked } = await openCommandLine(t, ({ url }) => {
    if (url.startsWith('/users?')) return { json: { items: people, next_cursor: null } }
    if (url.startsWith('/users/')) return { json: people[0] }
    if (url === '/tickets/7') return { json: ticket }
    return { json: { items: [], next_cursor: null } }
  })
  for (const [line, ask] of [
    [['user', 'show', 'li.na'], `/users/${id}`],
    [['user', 'show', '3'], '/users/3'],
    [['ticket', 'list', '--by', 'li.na'], `/tickets?limit=50&created_by_id=${id}`],
    [['task', 'list', '--by', 'li.na'], `/tasks?limit=50&executed_by_id=${id}`],
    [['ticket', 'list', '--assignee', '#3'], '/tickets?limit=50&assignee_id=3'],
    [['ticket', 'edit', '7', '--assignee', 'li.na'], '/tickets/7'],
    [['audit', 'list', '--actor', 'li.na'], `/audit/events?limit=50&actor_id=${id}`],
  ] as const) {
    const { code, err } = await writ(line)
    assert.equal(code, 0, err)
    const [path, query = ''] = asked.at(-1)!.url.split('?')
    const [wanted, wantedQuery = ''] = ask.split('?')
    assert.equal(path, wanted)
    const given = new URLSearchParams(query)
    given.delete('cursor')
    assert.deepEqual([...given].sort(), [...new URLSearchParams(wantedQuery)].sort())
  }
  assert.equal(JSON.parse(asked.find(({ method }) => method !== 'GET')!.body).assignee_id, id)
})

test('a user that is not there is refused, with whom it may be', async (t) => {
  const { writ } = await openCommandLine(t, () => ({ json: { items: people, next_cursor: null } }))
  const { code, err } = await writ(['user', 'show', 'li'])
  assert.equal(code, 2)
  assert.equal(err, 'writ: There is no user "li" here. Is it "li.na" or "li.nan"?\n')
})

test('who may not look for people names only himself, and is told so', async (t) => {
  const { writ, asked } = await openCommandLine(t, ({ url }) => {
    if (url.startsWith('/users?')) return { status: 403, json: problem('ROLE_NOT_ALLOWED', 403) }
    if (url === '/auth/me') return { json: people[0] }
    return { json: { items: [], next_cursor: null } }
  })
  assert.equal((await writ(['ticket', 'list', '--by', 'li.na'])).code, 0)
  assert.match(asked.at(-1)!.url, new RegExp(`created_by_id=${id}`))
  const other = await writ(['ticket', 'list', '--by', 'li.nan'])
  assert.equal(other.code, 3)
  assert.match(other.err, /"li\.nan" is cannot be told\. Give the number or the id\. \[ROLE_NOT_ALLOWED\]/)
})

const tokenOf = (last: string, name: string, over = {}) => ({
  id: id.slice(0, -1) + last,
  name,
  revoked_at: null,
  expires_at: '2027-01-01T00:00:00Z',
  created_at: '2026-10-01T00:00:00Z',
  ...over,
})
const tokens = [
  tokenOf('1', 'nightly'),
  tokenOf('2', 'nightly', { revoked_at: '2026-10-02T00:00:00Z' }),
  tokenOf('3', 'twice'),
  tokenOf('4', 'twice'),
  tokenOf('5', 'old', { expires_at: '2026-10-02T00:00:00Z' }),
]

test('invitations are listed, and revoked by the address they are for while they can be used', async (t) => {
  const of = (id: string, email: string | null, more = {}) => ({
    ...{ id, email, role: 'dev', created_by_id: 'a', created_at: '', used_at: null, revoked_at: null },
    expires_at: '2026-12-01T00:00:00Z',
    ...more,
  })
  const used = { used_at: '2026-11-20T00:00:00Z' }
  const late = { expires_at: '2025-12-01T00:00:00Z' }
  const invites = [of('i1', 'wang.li@example.com'), of('i2', 'wang.li@example.com', used), of('i3', null, late)]
  const { writ, asked } = await openCommandLine(t, () => ({ json: invites }))
  const { out } = await writ(['invite', 'list'])
  assert.match(out, /wang\.li@example\.com +dev +open /)
  assert.match(out, /anybody +dev +expired /)
  assert.equal((await writ(['invite', 'revoke', 'Wang.Li@example.com'])).code, 0)
  assert.deepEqual(
    asked.map(({ method, url }) => `${method} ${url.split('?')[0]}`),
    ['GET /invites', 'GET /invites', 'DELETE /invites/i1'],
  )
  const { code, err } = await writ(['invite', 'revoke', 'i2'])
  assert.equal(code, 2)
  assert.match(err, /No open invitation is i2/)
})

test('a token is revoked by its name, if one that works has it', async (t) => {
  const { writ, asked } = await openCommandLine(t, ({ method }) =>
    method === 'GET' ? { json: tokens } : { status: 204 },
  )
  const { code, err } = await writ(['token', 'revoke', 'nightly'])
  assert.equal(code, 0, err)
  assert.equal(asked.at(-1)!.method, 'DELETE')
  assert.equal(asked.at(-1)!.url, `/tokens/${tokens[0]!.id}`)
})

for (const [name, refusal] of [
  ['twice', `2 tokens are called "twice": ${tokens[2]!.id} (of 2026-10-01 00:00:00Z), ${tokens[3]!.id}`],
  ['old', 'Every token "old" is revoked or expired'],
  ['nigthly', 'There is no token "nigthly" that you may see'],
] as const)
  test(`a name of no one token that works revokes nothing: ${name}`, async (t) => {
    const { writ, asked } = await openCommandLine(t, () => ({ json: tokens }))
    const { code, err } = await writ(['token', 'revoke', name])
    assert.equal(code, 2)
    assert.ok(err.startsWith(`writ: ${refusal}`), err)
    assert.deepEqual(
      asked.map(({ method }) => method),
      ['GET'],
    )
  })

test('a task is dispatched with metadata of its own, and shown with them', async (t) => {
  const metadata = { order: 17 }
  const shown = {
    id,
    number: 7,
    handler: 'x',
    state: 'pending',
    depends_on: [],
    tags: [],
    attempts: [],
    steps: [],
    costs: [],
  }
  const { writ, asked } = await openCommandLine(t, ({ method }) =>
    method === 'POST' ? { status: 201, json: { id, number: 7, duplicate: false } } : { json: { ...shown, metadata } },
  )
  const { code, err } = await writ(['task', 'run', 'x', '--metadata', '{"order": 17}'])
  assert.equal(code, 0, err)
  assert.deepEqual(JSON.parse(asked[0]!.body), { handler: 'x', input: {}, metadata })
  assert.match((await writ(['task', 'show', '7'])).out, /^Metadata +\{"order":17\}$/m)
})

test('where a project has several logs, an entry to be erased is named with its log', async (t) => {
  let shard = 0
  const { writ, asked } = await openCommandLine(t, ({ url }) =>
    url === '/audit/log' ? { json: { shard } } : { json: { event_id: id, shard: 0, log_index: 12, erased_by_id: id } },
  )
  const erase = (...event: string[]) => writ(['payload', 'erase', ...event, '--ground', 'request 17'])
  assert.equal((await erase('12')).code, 0)
  shard = 1
  const refused = await erase('12')
  assert.equal(refused.code, 2)
  assert.match(refused.err, /^writ: the project has 2 logs, .* say which with --shard, or as 1\/12/)
  for (const event of [['0/12'], ['12', '--shard', '0'], [id]]) assert.equal((await erase(...event)).code, 0)
  assert.deepEqual(
    asked.filter(({ method }) => method === 'POST').map(({ url, body }) => [url, JSON.parse(body!)]),
    [
      ['/payloads/12/erase', { ground: 'request 17' }],
      ['/payloads/12/erase', { ground: 'request 17', shard: 0 }],
      ['/payloads/12/erase', { ground: 'request 17', shard: 0 }],
      [`/payloads/${id}/erase`, { ground: 'request 17' }],
    ],
  )
})

test('after a rotation the new key is given to the witnesses that see that log', async (t) => {
  const done = { old_key: 'writ.log/a+00000000+AA==', new_key: 'writ.log/a+11111111+BB==', overlap_until: null }
  const { writ } = await openCommandLine(t, ({ url }) => (url === '/keys/rotate' ? { json: done } : undefined))
  const rotate = async (...more: string[]) => (await writ(['keys', 'rotate', 'log', ...more])).err
  assert.match(await rotate('--instance'), /^Give the new key to your witnesses: /m)
  assert.match(
    await rotate('--project', 'default'),
    /^Give the new key to witnesses that are shown this log \(WRIT_WI/m,
  )
})

test('a ticket is shown with names, and with numbers to whoever may not ask for them', async (t) => {
  const decision = {
    decided_by_number: 2,
    decision: 'approved',
    ticket_version: 1,
    created_at: '2026-11-22T00:00:00.000Z',
    amr: [],
  }
  let members: object = {
    json: [
      { user_number: 1, username: 'li.na' },
      { user_number: 2, username: 'wang' },
    ],
  }
  const { writ } = await openCommandLine(t, ({ url }) => {
    if (url.startsWith('/members')) return members
    if (url.includes('/approvals')) return { json: { items: [decision], next_cursor: null } }
    if (url.includes('/comments')) return { json: { items: [], next_cursor: null } }
    return { json: { ...ticket, created_by_number: 1, approved_by_number: 2, assignee_number: 9 } }
  })
  const named = (await writ(['ticket', 'show', '7'])).out
  assert.match(named, /Opened by +li\.na \(#1\)\nAssigned to +user #9\nApproved by +wang \(#2\)\n/)
  assert.match(named, /wang \(#2\) approved version 1/)
  members = { status: 403, json: problem('SCOPE_NOT_ALLOWED', 403) }
  assert.match((await writ(['ticket', 'show', '7'])).out, /Opened by +user #1\n.*user #2 approved version 1/s)
})

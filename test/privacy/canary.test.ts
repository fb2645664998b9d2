import assert from 'node:assert/strict'
import { globSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { Artifact, Run, Ticket } from '@writ/api'
import { backends } from '../backends.ts'
import { exportBundle, unpack } from '../evidence/scene.ts'
import { dumpTables } from './database.ts'

const SECRET_KEY = 'this-very-key-signs-all-tokens-of-the-server'

/** One canary of each kind for one input: a sentence that holds it, and the words that must appear nowhere. */
function canaries(n: number): { kind: string; text: string; secret: string }[] {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
  const tag = letters[n % 26]! + letters[Math.floor(n / 26)]!
  const word = `${tag}q7Zr9Kp2Vw4Xm6`
  const twice = word + word
  const kinds: [kind: string, text: (secret: string) => string, secret: string][] = [
    ['private key', (s) => `-----BEGIN PRIVATE KEY----- ${s} -----END PRIVATE KEY-----`, `MIIEvQ${twice}`],
    ['cloud key', (s) => s, `AKIA${`${tag}77IOSFODNN7EXAMPLE`.slice(0, 16)}`],
    ['source token', (s) => `use ${s}`, `ghp_${(twice + twice).slice(0, 36)}`],
    ['service key', (s) => `use ${s}`, `sk-${twice}`],
    ['authorization', (s) => `Authorization: Bearer ${s}`, `tok.${twice}`],
    ['basic', (s) => `Authorization: Basic ${s}`, Buffer.from(`user:${word}`).toString('base64')],
    ['url', (s) => `postgres://writ:${s}@db/writ`, `P${word}`],
    ['assigned', (s) => `password=${s}`, `A${word}`],
    ['assigned in JSON', (s) => `{"client_secret":"${s}"}`, `J${word}`],
    ['contact', (s) => `ask ${s} about it`, `jane.${tag.toLowerCase()}${n}@mail.acme.org`],
    ['card', (s) => `card ${s} `, cardNumber(n)],
    ['base64', (s) => `blob ${s}`, Buffer.from(`token=${twice}`).toString('base64')],
    ['url-encoded', (s) => `q=token%3D${s}`, `U${twice}`],
    ['live', (s) => `the key is ${s}`, SECRET_KEY],
  ]
  return kinds.map(([kind, text, secret]) => ({ kind, text: text(secret), secret }))
}

function cardNumber(n: number): string {
  const digits = `4${String(n).padStart(3, '0')}00000000000`
  const sum = [...digits].reduce((total, digit, i) => {
    const value = Number(digit) * (i % 2 === 0 ? 2 : 1)
    return total + (value > 9 ? value - 9 : value)
  }, 0)
  return digits + String((10 - (sum % 10)) % 10)
}

for (const backend of backends()) {
  test(`${backend.name}: secrets planted in every input appear nowhere`, {
    skip: backend.skip,
    timeout: 180_000,
  }, async () => {
    await using sys = await backend.start({ env: { SECRET_KEY, LOG_LEVEL: 'debug' } })
    const planted: { input: string; kind: string; secret: string }[] = []
    let inputs = 0
    /** Sends one canary of each kind through an input. */
    const plant = async (input: string, send: (text: string, i: number) => Promise<unknown>) => {
      for (const [i, { kind, text, secret }] of canaries(inputs++).entries()) {
        // Names of people may be addresses: contact data is not looked for where somebody says who they are.
        if (!(kind === 'contact' && input.includes('name of'))) planted.push({ input, kind, secret })
        await send(text, i)
      }
    }
    const fine = async <T>(answer: Promise<{ status: number; body: T }>): Promise<T> => {
      const { status, body } = await answer
      assert.ok(status < 300, JSON.stringify(body))
      return body
    }
    const ticket = await fine(sys.employee.post<Ticket>('/tickets', { title: 'plain' }))
    await plant('ticket title', (title) => fine(sys.employee.post('/tickets', { title })))
    await plant('ticket description', (description) => fine(sys.employee.post('/tickets', { title: 'x', description })))
    await plant('edited title', (title) => fine(sys.employee.patch(`/tickets/${ticket.id}`, { title })))
    await plant('comment', (body) => fine(sys.employee.post(`/tickets/${ticket.id}/comments`, { body })))
    await plant('reason', async (reason) => {
      const one = await fine(sys.employee.post<Ticket>('/tickets', { title: 'to close', status: 'submitted' }))
      await fine(sys.admin.post(`/tickets/${one.id}/reject`, { reason }))
    })
    await plant('asset', (description, i) =>
      fine(
        sys.employee.post('/assets', {
          name: 'x',
          asset_type: 'switch',
          description,
          location: description,
          serial_number: `S-${i}`,
        }),
      ),
    )
    await plant('asset name', (name) => fine(sys.employee.post('/assets', { name, asset_type: 'switch' })))
    await plant('full name of a user', (full_name, i) =>
      sys.admin.post('/users', { username: `neighbour-${i}`, full_name, password: 'a-long-enough-password' }),
    )
    await plant('name of a user who is refused', (username) =>
      sys.anonymous.post('/auth/login', { username: username.slice(0, 255), password: 'x' }),
    )
    await plant('token name', (name) => sys.admin.post('/tokens', { name }))
    await plant('context of a run', (note) =>
      fine(
        sys.employee.post('/runs', {
          run_type: 'proof',
          ticket_id: ticket.id,
          execution_context: { note, deep: { list: [note] } },
        }),
      ),
    )
    await plant('keys of the context', (note) =>
      sys.employee.post('/runs', { run_type: 'proof', ticket_id: ticket.id, execution_context: { [note]: 1 } }),
    )
    // A name with a folder in it is refused, and what is refused leaves as little as what is kept.
    await plant('names of expected files', async (name) => {
      const { status } = await sys.employee.post('/runs', {
        run_type: 'proof',
        ticket_id: ticket.id,
        expect: [{ name }],
      })
      assert.ok(name.includes('/') ? status === 422 : status < 300, `${status}: ${name}`)
    })
    await plant('rule set', (description) =>
      sys.admin.post('/rule-sets', {
        name: 'canary',
        definition: {
          description: description.slice(0, 900),
          rules: [{ validator: 'size@1', params: { min_bytes: 1 } }],
        },
      }),
    )
    await plant('rule set parameter', (pattern) =>
      sys.admin.post('/rule-sets', {
        name: 'canary',
        definition: { rules: [{ validator: 'fields@1', params: { patterns: [{ name: pattern, pattern }] } }] },
      }),
    )
    const run = await fine(
      sys.employee.post<Run>('/runs', {
        run_type: 'proof',
        ticket_id: ticket.id,
        finalize: 'manual',
        script_id: 'proof.file_hash',
      }),
    )
    await plant('file name', (name, i) =>
      fine(sys.employee.upload(run.id, `${name.replaceAll('/', '%2F')}.txt`, `plain ${i}\n`)),
    )
    await plant('file description and type', (description, i) =>
      fine(
        sys.employee.upload(run.id, `d${i}.txt`, `described ${i}\n`, {
          description,
          artifact_type: description.slice(0, 50),
        }),
      ),
    )
    await fine(sys.employee.post(`/runs/${run.id}/finalize`))
    await sys.waitFor(run.id)
    await plant('query string', (text) =>
      sys.admin.get(`/audit/events?event_type=${encodeURIComponent(text.slice(0, 50))}`),
    )
    await plant('search', (text) => sys.admin.get(`/tickets?q=${encodeURIComponent(text)}`))
    await plant('path', (text) => sys.employee.get(`/users/${encodeURIComponent(text)}`))
    await plant('user agent', async (text) => {
      const headers = { 'user-agent': text }
      await sys.anonymous.post('/auth/login', { username: 'admin', password: 'admin123' }, { headers })
      await sys.employee.get('/users', { headers })
    })
    await plant('other headers', (text) =>
      sys.employee.post(
        '/tickets',
        { title: 'headers' },
        {
          headers: {
            'idempotency-key': text.replaceAll(' ', ''),
            'x-request-id': text.replaceAll(/[^A-Za-z0-9._:-]/g, '-'),
            traceparent: text,
            referer: text,
          },
        },
      ),
    )
    await plant('trace', (text) =>
      sys.employee.post(
        '/tasks',
        { handler: 'system.ping' },
        {
          headers: {
            traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
            tracestate: `vendor=${text.replaceAll(/[=,]/g, '-')}`,
          },
        },
      ),
    )
    await plant('foreign project', (text) => sys.employee.get('/tickets', { headers: { 'x-project': text } }))
    await plant('policy reason and hold', (reason) =>
      fine(sys.admin.post('/holds', { subject_type: 'ticket', subject_id: ticket.id, reason })),
    )

    // A file that holds all of them is kept exactly and flagged; a report that quotes it is ours, and redacted.
    const contents = `${canaries(inputs)
      .map(({ text }) => text)
      .join('\n')}\n{"broken": \n`
    for (const { kind, secret } of canaries(inputs)) planted.push({ input: 'artifact contents', kind, secret })
    const judged = await fine(
      sys.employee.post<Run>('/runs', { run_type: 'proof', ticket_id: ticket.id, script_id: 'proof.config_format' }),
    )
    const uploaded = await sys.employee.upload(judged.id, 'all.json', contents)
    const artifact: Artifact = uploaded.body.artifact
    assert.ok((artifact.findings?.length ?? 0) >= 8, JSON.stringify(artifact.findings))
    await sys.waitFor(judged.id)
    await sys.settle()
    const exported = (await sys.admin.get<string>('/audit/export')).body as unknown as string

    const bundle = path.join(sys.folder, 'bundle')
    await exportBundle(sys, `${bundle}.zip`, { subject: 'ticket', id: ticket.id })
    await unpack(`${bundle}.zip`, bundle)

    const places = await dumpTables(sys)
    places.set('export', String(exported))
    await sys.stop()
    places.set('server log', sys.log())
    for (const name of globSync(['data/**/*', 'bundle/**/*'], { cwd: sys.folder })) {
      const file = path.join(sys.folder, name)
      // The database was read as tables; keys are secrets themselves.
      if (!statSync(file).isFile() || /data\/(writ\.db|keys\/)/.test(name) || name.endsWith(artifact.sha256_hash))
        continue
      places.set(name, readFileSync(file, 'latin1'))
    }
    assert.ok([...places.keys()].some((name) => /log\/.*tile\/entries/.test(name)) && places.has('tickets'))
    assert.ok([...places.keys()].some((name) => /bundle\/.*payloads/.test(name)) && places.has('bundle/bundle.json'))
    const found = planted.flatMap(({ input, kind, secret }) =>
      [...places].filter(([, text]) => text.includes(secret)).map(([place]) => `${kind} of ${input} in ${place}`),
    )
    assert.deepEqual(found, [])
  })
}

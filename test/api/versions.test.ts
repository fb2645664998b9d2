/** Things that people change are changed as they were read, or not at all: every operation that says so, on every backend. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { api, type Endpoint } from '@writ/api'
import { backends } from '../backends.ts'
import type { TestSystem } from '../test-system.ts'
import { ok, refused } from '../verifies.ts'

interface Thing {
  /** Makes one; answers its id. */
  make(sys: TestSystem): Promise<string>
  /** Changes of which each is another. */
  readonly changes: readonly [object, object]
  /** What happens to it beside, and changes nothing of it. */
  beside?(sys: TestSystem, path: string): Promise<unknown>
}

const idOf = ({ body }: { body: unknown }): string => (body as { id: string }).id

/** By path. */
const things: Readonly<Record<string, Thing>> = {
  '/tickets/:id': {
    make: async ({ admin }) => idOf(await admin.post('/tickets', { title: 'T' })),
    changes: [{ title: 'A' }, { title: 'B' }],
    beside: ({ admin }, path) => admin.post(`${path}/comments`, { body: 'said' }),
  },
  '/assets/:id': {
    make: async ({ admin }) => idOf(await admin.post('/assets', { name: 'N', asset_type: 'switch' })),
    changes: [{ location: 'hall 3' }, { location: 'hall 4' }],
  },
  '/webhooks/:id': {
    make: async ({ admin }) =>
      idOf(await admin.post('/webhooks', { name: 'w', url: 'http://127.0.0.1:9/a', events: ['hold.set'] })),
    changes: [{ url: 'http://127.0.0.1:9/b' }, { events: ['hold.*'] }],
    beside: ({ admin }, path) => admin.post(`${path}/test`),
  },
  '/schedules/:id': {
    make: async ({ admin }) =>
      idOf(await admin.post('/schedules', { name: 's', handler: 'system.ping', cron: '0 0 1 1 *' })),
    changes: [{ cron: '0 1 1 1 *' }, { when_running: 'skip' }],
    beside: ({ admin }, path) => admin.post(`${path}/trigger`),
  },
}

const versioned = Object.values(api)
  .flatMap((group) => Object.values(group) as Endpoint[])
  .filter((endpoint) => endpoint.versioned)

test('each operation about a version is tried here', () => {
  assert.deepEqual([...new Set(versioned.map(({ path }) => path))].toSorted(), Object.keys(things).toSorted())
  for (const path of Object.keys(things)) {
    const methods = versioned.filter((endpoint) => endpoint.path === path).map(({ method }) => method)
    assert.ok(methods.includes('GET') && methods.includes('PATCH'), path)
  }
})

for (const backend of backends())
  for (const [place, { make, changes, beside }] of Object.entries(things))
    test(`${place} is changed as it was read, or not at all (${backend.name})`, { skip: backend.skip }, async () => {
      await using sys = await backend.start()
      const { admin } = sys
      const path = place.replace(':id', await make(sys))
      const fields = Object.keys(Object.assign({}, ...changes))
      const read = async () => {
        const { body, headers } = await admin.get<Record<string, unknown>>(path)
        const etag = headers.get('etag')!
        assert.match(etag, /^"[0-9a-z]+"$/)
        // What the server adds by itself may be there or not.
        return { etag, ...Object.fromEntries(fields.map((field) => [field, body[field]])) }
      }
      const change = (match: string, body: object = changes[0]) =>
        admin.patch(path, body, { headers: { 'if-match': match } })

      const first = await read()
      for (const other of ['"other"', 'W/"other"', '"other", "more"', first.etag.slice(1, -1), '""', ','])
        refused(await change(other), 412, 'VERSION_DIFFERS')
      assert.deepEqual(await read(), first)
      await beside?.(sys, path)
      assert.equal((await read()).etag, first.etag)

      const changed = await change(first.etag)
      ok(changed)
      const second = await read()
      assert.notEqual(second.etag, first.etag)
      assert.equal(changed.headers.get('etag'), second.etag)
      refused(await change(first.etag, changes[1]), 412, 'VERSION_DIFFERS')
      assert.deepEqual(await read(), second)

      // Of two at once one has it.
      const both = await Promise.all(changes.map((body) => change(second.etag, { ...body, ...changes[1] })))
      const statuses = both.map(({ status }) => status).toSorted()
      assert.deepEqual(statuses, [200, 412])
      // As a proxy hands it on that compresses, as one of several, and as whatever there is.
      ok(await change(`W/${(await read()).etag}`, changes[0]))
      ok(await change(`"other", ${(await read()).etag}`, changes[1]))
      ok(await change('*', changes[0]))

      if (!versioned.some((endpoint) => endpoint.path === place && endpoint.method === 'DELETE')) return
      refused(await admin.delete(path, { headers: { 'if-match': second.etag } }), 412, 'VERSION_DIFFERS')
      const last = await read()
      assert.equal((await admin.delete(path, { headers: { 'if-match': last.etag } })).status, 204)
    })

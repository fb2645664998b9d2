import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client } from 'pg'
import { missingBackend } from './missing-backend.ts'
import { isBorrowed, missingPostgres, startPostgres } from './postgres.ts'

const skip =
  missingBackend('PostgreSQL', missingPostgres()) || (isBorrowed() && 'only a server of our own may be killed')

test('a committed row survives kill -9 and restart', { skip }, async () => {
  const server = await startPostgres({ fsync: true })
  try {
    await ask(server.url, 'create table t as select 42 as answer')
    await server.kill9()
    await server.restart()
    assert.deepEqual(await ask(server.url, 'select answer from t'), [{ answer: 42 }])
  } finally {
    await server.stop()
  }
})

async function ask(url: string, statement: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  return await client
    .query(statement)
    .then((result) => result.rows)
    .finally(() => client.end())
}

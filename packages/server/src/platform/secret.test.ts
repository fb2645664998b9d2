import assert from 'node:assert/strict'
import { test } from 'node:test'
import { format, inspect } from 'node:util'
import { Secret } from './secret.ts'

test('a secret prints as [secret] everywhere and reveals its value only when asked', () => {
  const secret = new Secret('hunter2-hunter2')
  const shown = [
    `${secret}`,
    String(secret),
    JSON.stringify({ secret }),
    inspect({ secret }, { showHidden: true, depth: 9 }),
    format('%s %o %j', secret, secret, secret),
    JSON.stringify({ ...secret }),
    JSON.stringify(Object.getOwnPropertyNames(secret)),
  ].join('\n')
  assert.ok(!shown.includes('hunter2'), shown)
  assert.equal(`${secret}`, '[secret]')
  assert.equal(JSON.stringify(secret), '"[secret]"')
  assert.equal(inspect(secret), '[secret]')
  assert.equal(secret.reveal(), 'hunter2-hunter2')
})

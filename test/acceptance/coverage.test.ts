import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { requirements } from '../requirements.ts'

const sources = readdirSync(import.meta.dirname)
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => readFileSync(path.join(import.meta.dirname, name), 'utf8'))

test('every requirement has a scenario that cites it', () => {
  const cited = sources
    .flatMap((source) => [...source.matchAll(/\bverifies\(\s*(\[[^\]]*\]|'[^']*')/g)])
    .flatMap((match) => [...match[1]!.matchAll(/[TP]\d\d/g)].map(([id]) => id))
  assert.deepEqual(
    Object.keys(requirements).filter((id) => !cited.includes(id)),
    [],
  )
})

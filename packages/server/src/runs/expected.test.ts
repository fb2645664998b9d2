import assert from 'node:assert/strict'
import { test } from 'node:test'
import { expectedAs, missingOf, namesOf } from './expected.ts'

const file = (filename: string, role: 'before' | 'after' | null = null, sha256 = '') => ({ filename, role, sha256 })
const both = [
  { name: 'sw.cfg', role: 'before' },
  { name: 'sw.cfg', role: 'after' },
] as const

test('a file of one name may be announced as it was before and as it is after', () => {
  assert.deepEqual(missingOf(both, [file('sw.cfg', 'after')]), [both[0]])
  assert.deepEqual(missingOf(both, [file('sw.cfg', 'before'), file('sw.cfg', 'before')]), [both[1]])
  assert.deepEqual(missingOf(both, [file('sw.cfg', 'after'), file('sw.cfg', 'before')]), [])
  assert.equal(expectedAs(both, file('sw.cfg', 'after')), both[1])
  assert.equal(expectedAs(both, file('sw.cfg')), both[0])
  assert.equal(expectedAs([both[0]], file('sw.cfg', 'after')), undefined)
  assert.equal(namesOf([...both, { name: 'a' }]), 'sw.cfg (before), sw.cfg (after), a')
})

test('of several of one name a file is that whose bytes it has', () => {
  const announced = [{ name: 'a', sha256: '1' }, { name: 'a', sha256: '2' }, { name: 'b' }]
  assert.deepEqual(missingOf(announced, [file('a', null, '2')]), [announced[0], announced[2]])
  assert.deepEqual(missingOf(announced, [file('b'), file('c')]), announced.slice(0, 2))
})

test('names that look the same are the same', () => {
  assert.deepEqual(missingOf([{ name: 'caf\u00e9.cfg' }], [file('cafe\u0301.cfg')]), [])
})
